"""Make each .ipynb from its .py twin (percent format, jupytext) and run it: `make notebooks`. The twins are the source.

A notebook whose code has not changed keeps its outputs; `--all` runs every one again, 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).resolve().parent
LARGE = 60_000  # bytes of a PNG above which it is made smaller, so that the notebooks stay small in git


def twins() -> list[Path]:
    """The percent scripts, which begin with a number."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.py"))


def notebook_of(twin: Path) -> NotebookNode:
    """The notebook of a twin without outputs; cells are numbered so that the same source gives the same file."""
    notebook = jupytext.read(twin)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return notebook


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook as it was before it ran."""
    bare = nbformat.from_dict(notebook)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return bare


def keep_outputs(notebook: NotebookNode, committed: NotebookNode) -> bool:
    """Take the outputs of a notebook that has the same code and was run whole; False where it has not."""
    code, known = ([cell for cell in one.cells if cell.cell_type == "code"] for one in (notebook, committed))
    if [cell.source for cell in code] != [cell.source for cell in known] or not all(c.execution_count for c in known):
        return False
    for cell, before in zip(code, known, strict=True):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    return True


def run(notebook: NotebookNode) -> NotebookNode:
    """The notebook with its outputs, run in an empty folder; progress, logs and warnings are left out.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    header = dict(notebook.metadata)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        environment = os.environ | {"PYTHONWARNINGS": "ignore"}
        NotebookClient(notebook, timeout=3600, record_timing=False, resources=resources).execute(env=environment)
        text = nbformat.writes(notebook).replace(f"{Path(folder).resolve()}/", "")
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata = header
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_progress(output)]
            for output in cell.outputs:
                shrink(output.get("data", {}))
    return notebook


def is_progress(output: NotebookNode) -> bool:
    """Whether an output was there for who waited: a log, or a bar that is blank when it is done."""
    shown = output.get("data", {"stream": ""})
    is_text = set(shown) <= {"text/plain", "text/html"}
    return output.get("name") == "stderr" or (is_text and not shown.get("text/plain", "").strip())


def shrink(shown: dict[str, str]) -> None:
    """Of a large PNG (base64) keep the JPEG beside it, which a photograph has, else the PNG with 256 colors."""
    content = base64.b64decode(shown.get("image/png", ""))
    if len(content) > LARGE and "image/jpeg" in shown:
        del shown["image/png"]
    elif len(content) > LARGE:
        buffer = io.BytesIO()
        Image.open(io.BytesIO(content)).convert("RGB").quantize(256).save(buffer, "PNG", optimize=True)
        shown["image/png"] = base64.b64encode(buffer.getvalue()).decode()


def main() -> None:
    """Bring every notebook up to its twin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="run those that have not changed, too")
    everything = parser.parse_args().all
    for twin in twins():
        path, notebook = twin.with_suffix(".ipynb"), notebook_of(twin)
        if everything or not path.exists() or not keep_outputs(notebook, nbformat.read(path, as_version=4)):
            notebook = run(notebook)
            print(path.name)
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
