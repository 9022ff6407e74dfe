from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

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


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared(*extras: str) -> set[str]:
    found = [*project()["dependencies"], *(d for extra in extras for d in project()["optional-dependencies"][extra])]
    return {re.split(r"[\[<>=!~ ]", requirement)[0].lower().replace("_", "-") for requirement in found}


def imported(folder: Path) -> set[str]:
    """Top-level modules that the files of a folder import, inside functions, too."""
    nodes = [node for path in folder.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)


def test_every_declared_dependency_is_pinned():
    assert declared(*project()["optional-dependencies"]) - pins().keys() == set()


# What a user who wants it installs: loggers, and the index that `benchmark.speed.neighbors` compares with.
OPTIONAL = {"faiss", "mlflow", "wandb", "tensorboard"}


@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        (("extensions", "benchmark", "inference"), ("ray", "notebooks")),  # both asked for by name, imported late
        (("notebooks", "tests", ".ci"), ("demo", "ray", "notebooks", "dev", "docs")),
    ],
    ids=["packages", "tools"],
)
def test_every_imported_distribution_is_declared(folders, extras):
    ours = {"extensions", "benchmark", "inference", "tests", *(path.stem for path in (ROOT / ".ci").glob("*.py"))}
    modules = set().union(*(imported(ROOT / folder) for folder in folders)) - ours - OPTIONAL
    distributions = packages_distributions()
    missing = {
        module
        for module in modules
        if not {name.lower().replace("_", "-") for name in distributions.get(module, [module])} & declared(*extras)
    }
    assert missing == set(), "declare it in pyproject.toml, pin it in constraints.txt, then `make env.yml`"


def test_the_version_is_one():
    version = project()["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (newest, *_) = re.findall(r"^## \[(\d[\w.]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert (citation["version"], newest) == (version, version)


def test_each_package_says_that_it_is_typed():
    assert [room for room in ("extensions", "benchmark", "inference") if not (ROOT / room / "py.typed").is_file()] == []


def test_no_committed_text_names_a_folder_of_some_machine():
    folders = re.compile(r"(?<![\w.$}/-])/(?:work|root|home/\w+|Users/\w+)/")
    suffixes = {".py", ".md", ".yaml", ".yml", ".toml", ".json", ".csv", ".txt", ".ipynb", ".html"}
    rooms = ("extensions", "benchmark", "inference", "configs", "weights", "notebooks", "results", "tests")
    files = [p for room in rooms for p in (ROOT / room).rglob("*") if p.suffix in suffixes]
    files += [p for p in ROOT.glob("*") if p.suffix in suffixes]
    found = [str(p.relative_to(ROOT)) for p in files if folders.search(p.read_text(encoding="utf-8", errors="replace"))]
    assert found == []


def markdown_files() -> list[Path]:
    named = ("*.md", "docs/*.md", "results/**/*.md", "weights/*.md", "extensions/models/*/README.md")
    return sorted(path for pattern in named for path in ROOT.glob(pattern))


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    made = "reference/"  # pages of the site that `make docs` makes from the code
    targets = re.findall(r"\]\((?!\w+:|#)([^)\s#]+)", path.read_text(encoding="utf-8"))
    assert [one for one in targets if not one.startswith(made) and not (path.parent / one).exists()] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/how-it-works.md"])
def test_files_that_a_reader_is_sent_to_are_there(name):
    told = re.findall(r"`([\w./-]+(?:\.py|\.yaml|\.toml|/))`", (ROOT / name).read_text(encoding="utf-8"))
    examples = re.compile("mean_map|NN_name")
    rooms = (
        "extensions",
        "benchmark",
        "inference",
        "configs",
        "tests",
        "weights",
        "notebooks",
        "docs",
        "results",
        ".ci",
    )
    there = [path.as_posix() for room in rooms for path in [ROOT / room, *(ROOT / room).rglob("*")]]
    there += [path.as_posix() for path in ROOT.iterdir()]
    ends = {one: f"/{one.rstrip('/')}" for one in told if not examples.search(one)}
    assert [one for one, end in ends.items() if not any(path.endswith(end) for path in there)] == []


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


def test_each_model_has_a_readme_with_its_measured_table():
    folders = [path.parent for path in (ROOT / "extensions" / "models").glob("*/lightning_model.py")]
    texts = {folder.name: (folder / "README.md").read_text(encoding="utf-8") for folder in folders}
    assert len(texts) >= 10
    assert [name for name, text in texts.items() if f"<!-- table: {name} -->" not in text] == []


def test_the_tables_of_the_readmes_are_what_the_records_give():
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / ".ci" / "readme_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tables = module.tables()
    for path in module.pages():
        text = path.read_text(encoding="utf-8")
        assert text == module.filled(text, tables), "run `make readme`"
