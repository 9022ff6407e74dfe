"""The run on many images, small: its record, and that it goes on where it was stopped."""

import json

import numpy as np
import pytest

from benchmark.speed import large as speed_large
from benchmark.speed.large import draw_images, draw_part, run_large
from extensions.models.patchcore import coreset_search

SMALL = {"n_images": 12, "side": 64, "ratio": 0.2, "pre_trained": False, "max_memory_bytes": 0}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was not stopped, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return run_large(folder, **SMALL, keep=True), folder


def bank(folder):
    import torch

    (checkpoint,) = folder.rglob("model.ckpt")
    return torch.load(checkpoint, weights_only=True)["state_dict"]["model.memory_bank"].numpy()


def test_every_part_looks_different_and_is_drawn_again_the_same():
    parts = [draw_part(number, side=32) for number in (0, 1, 0)]
    assert parts[0].shape == (32, 32, 3)
    assert parts[0].std() > 20
    np.testing.assert_array_equal(parts[0], parts[2])
    assert (parts[0] != parts[1]).mean() > 0.5


def test_images_that_are_there_are_not_drawn_again(tmp_path):
    draw_images(tmp_path, 3, side=32)
    names = {folder.name: len(list(folder.iterdir())) for folder in tmp_path.iterdir()}
    assert names == {"train": 3, "good": 20, "bad": 20, "masks": 20}
    (tmp_path / "train" / "000001.png").write_bytes(b"mine")
    (tmp_path / "train" / "000002.png").unlink()
    draw_images(tmp_path, 3, side=32)
    assert (tmp_path / "train" / "000001.png").read_bytes() == b"mine"
    assert (tmp_path / "train" / "000002.png").exists()


def test_the_record_tells_time_memory_disk_and_machine(whole):
    record, folder = whole
    assert json.loads((folder / "large-12.json").read_text()) == record
    assert record["n_centers"] == int(12 * 8 * 8 * 0.2)
    assert record["n_channels"] == 384
    assert record["n_runs"] == 1
    assert record["seconds"] > record["fit_seconds"] > 0
    assert record["anonymous_bytes"] is None or record["anonymous_bytes"] > 0
    assert "cpu" in record["environment"]


def test_a_stopped_selection_goes_on_where_it_was(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(coreset_search, "SAVE_EVERY", -1.0)
    leading = coreset_search.FarthestFirst._leading
    n_left = 3

    def stop(self):
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise KeyboardInterrupt
        self.n_leading = 30
        return leading(self)

    monkeypatch.setattr(coreset_search.FarthestFirst, "_leading", stop)
    with pytest.raises(KeyboardInterrupt):
        run_large(tmp_path, **SMALL, keep=True)
    assert list(tmp_path.rglob("selections/*/*.npy"))
    monkeypatch.setattr(coreset_search.FarthestFirst, "_leading", leading)
    measured = []
    monkeypatch.setattr(coreset_search.FarthestFirst, "_measure_first", lambda self: measured.append(self))
    record = run_large(tmp_path, **SMALL, keep=True)
    assert record["n_runs"] == 2
    assert record["reused"]["train"]["features"] == 12
    assert not measured
    np.testing.assert_array_equal(bank(tmp_path), bank(whole[1]))
    assert not list(tmp_path.rglob("selections/*/*.npy"))


def test_a_folder_of_another_experiment_is_refused(whole):
    with pytest.raises(ValueError, match="large-12: it is of"):
        run_large(whole[1], **SMALL | {"ratio": 0.1})


def test_the_command_says_in_one_line_what_failed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(speed_large, "draw_images", lambda *_, **__: (tmp_path / "large-5" / "images").mkdir())
    assert speed_large.main(["--images", "5", "--output", str(tmp_path)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert "normal_dir" in error or "train" in error
