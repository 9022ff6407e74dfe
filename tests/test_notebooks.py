from __future__ import annotations

import importlib.util
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
SMALL = {
    "01_quickstart": "n_train, n_test, image_size, n_shown = 16, 8, 128, 2",
    "02_experiments": "n_train, n_test, image_size, epochs = 40, 8, 128, 1\noutput = 'output'",
    "03_refinement": "n_train, n_test, ratio, image_size, n_shown = 40, 20, 0.15, 128, 4",
    "04_backbones": "n_images, n_test, view_size, epochs, batch_size, image_size, n_shown = 24, 12, 32, 2, 8, 64, 2",
    "05_augmentation": "n_train, n_test, image_size, n_seeds, n_views, n_shown, epochs = 16, 8, 64, 2, 2, 1, 2",
    "06_openvino": "n_train, n_test, image_size, n_shown, seconds = 16, 8, 64, 2, 0.05",
}


def generate():
    spec = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("twin", generate().twins(), ids=lambda twin: twin.stem)
def test_notebooks_are_what_their_twins_give(twin):
    notebook = nbformat.read(twin.with_suffix(".ipynb"), as_version=4)
    assert generate().without_outputs(notebook) == generate().notebook_of(twin), "run `make notebooks`"


@pytest.mark.parametrize("twin", generate().twins(), ids=lambda twin: twin.stem)
def test_committed_notebooks_were_run_whole_and_stay_small(twin):
    path = twin.with_suffix(".ipynb")
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs and {output.output_type for output in outputs} <= {"execute_result", "display_data", "stream"}
    assert path.stat().st_size < 1_000_000


@pytest.fixture(scope="module")
def kernel():
    """One for all notebooks: each begins without the names of the one before, but need not import torch again."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("twin", generate().twins(), ids=lambda twin: twin.stem)
def test_notebooks_run_from_top_to_bottom(twin, kernel, tmp_path_factory):
    notebook = jupytext.read(twin)
    (parameters,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    parameters.source = SMALL[twin.stem]
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"%reset -f\n%cd -q {tmp_path_factory.mktemp(twin.stem)}"))
    client = NotebookClient(notebook, km=kernel, timeout=300)
    try:
        client.execute()
    finally:
        client.kc.stop_channels()
    shown = nbformat.writes(notebook)
    assert '"image/png"' in shown or "leaderboard.xlsx" in shown
