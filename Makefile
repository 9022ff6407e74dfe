# Every target sets up what it needs in .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup benchmark test lint format docs notebooks readme speed statistics clean

help:            ## show this list
	@grep -E '^[a-z]+: .*##' Makefile | sed -E 's/:.*## */\t/' | expand -t 14

setup: $(READY)  ## create .venv with the tested versions of everything

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,notebooks,dev,docs,ray]'
	touch $(READY)

benchmark: $(READY) ## run the main job on real data: output/quickstart/leaderboard.xlsx
	$(BIN)/python -m benchmark run --config configs/benchmark/quickstart.yaml --output output/quickstart

test: $(READY)   ## run the tests (no network, no GPU)
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

lint: $(READY)   ## formatting, lint, types and which room may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(READY) ## format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)   ## build the guide as a site: output/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo open output/docs/index.html

notebooks: $(READY) ## make the .ipynb files from their .py twins and run those that changed
	$(BIN)/python notebooks/generate.py

env.yml: constraints.txt .ci/env_file.py
	$(PYTHON) .ci/env_file.py > $@

readme: $(READY)  ## fill the tables of README.md, docs and models from the committed records
	$(BIN)/python .ci/readme_tables.py

speed: $(READY)  ## ours against stock anomalib in one run: output/speed/
	$(BIN)/python -m benchmark speed --output output/speed $(if $(DATA_ROOT),--data-root $(DATA_ROOT))

statistics: $(READY) ## do intervals keep their promise, and what is a tie mark worth on real records: results/statistics
	$(BIN)/python -m benchmark.statistics.simulation --output results/statistics/coverage.csv
	$(BIN)/python .ci/decision_studies.py --records results/quickstart results/reference results/piped

clean:           ## remove the environment and all output
	rm -rf $(VENV) output
