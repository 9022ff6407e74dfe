from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if line and not line.startswith("#"))


def test_env_yml_is_what_the_constraints_give():
    spec = importlib.util.spec_from_file_location("env_file", ROOT / ".ci" / "env_file.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert (ROOT / "env.yml").read_text(encoding="utf-8") == module.environment(constraints), "run `make env.yml`"


def test_every_declared_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.split(r"[\[<>=!~ ]", requirement)[0].lower().replace("_", "-") for requirement in declared}
    assert names - pins().keys() == set()


def test_no_committed_text_names_a_folder_of_some_machine():
    folders = re.compile(r"(?<![\w.$}/-])/(?:work|root|home/\w+|Users/\w+)/")
    suffixes = {".py", ".md", ".yaml", ".yml", ".toml", ".json", ".csv", ".txt", ".ipynb", ".html"}
    rooms = ("extensions", "benchmark", "inference", "configs", "weights", "notebooks", "results", "tests")
    files = [p for room in rooms for p in (ROOT / room).rglob("*") if p.suffix in suffixes]
    files += [p for p in ROOT.glob("*") if p.suffix in suffixes]
    found = [str(p.relative_to(ROOT)) for p in files if folders.search(p.read_text(encoding="utf-8", errors="replace"))]
    assert found == []


def test_the_tables_of_the_readmes_are_what_the_records_give():
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / ".ci" / "readme_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tables = module.tables()
    for path in (ROOT / "README.md", ROOT / "results" / "README.md"):
        text = path.read_text(encoding="utf-8")
        assert text == module.filled(text, tables), "run `make readme`"
