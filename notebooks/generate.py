"""Make each .ipynb from its .py twin (percent format, jupytext): `make notebooks`. The twins are the source."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat

FOLDER = Path(__file__).resolve().parent


def twins() -> list[Path]:
    """The percent scripts, which begin with a number."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.py"))


def notebook_text(twin: Path) -> str:
    """The notebook of a twin as JSON; cells are numbered so that the same source gives the same file."""
    notebook = jupytext.read(twin)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.writes(notebook) + "\n"


if __name__ == "__main__":
    for twin in twins():
        twin.with_suffix(".ipynb").write_text(notebook_text(twin), encoding="utf-8")
        print(twin.with_suffix(".ipynb").name)
