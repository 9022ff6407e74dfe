import pandas as pd
import pytest
import torch

from inference.__main__ import main
from inference.measure.bench import COLUMNS, measure, write


def test_bench_measures_backbone_network_files_and_anomalibs_inferencer(exported, checkpoint, tiny_root, tmp_path):
    frame = measure(
        [exported / "model.xml"],
        tiny_root / "test",
        streams=[1],
        batches=[2],
        stock=checkpoint,
        seconds=0.05,
        repeats=2,
    )
    assert list(frame["what"]) == ["backbone", "network", "end to end", "anomalib's inferencer"]
    assert tuple(pd.read_csv(write(frame, tmp_path)).columns) == COLUMNS
    assert (frame["images_per_second"] > 0).all()
    assert (frame["latency_p95_ms"] >= frame["latency_p50_ms"]).all()
    files = frame[frame["what"] == "end to end"].iloc[0]
    assert files["n"] % 8 == 0


def test_what_cannot_be_measured_is_told_before_anything_is(exported, checkpoint, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setattr("inference.measure.bench.network_speed", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr("inference.measure.bench._backbone", lambda *_: pytest.fail("measured"))
    model, images = exported / "model.xml", tiny_root / "test"
    with pytest.raises(ValueError, match="--stock is measured on images; give a folder"):
        measure([model], None, stock=checkpoint)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt: there is no such file"):
        measure([model], images, stock=tmp_path / "nowhere.ckpt")
    stored = torch.load(checkpoint, weights_only=False)
    torch.save(stored | {"class_path": "extensions.ConvAutoencoder", "hyper_parameters": {}}, tmp_path / "ours.ckpt")
    with pytest.raises(ValueError, match="ConvAutoencoder"):
        measure([model], images, stock=tmp_path / "ours.ckpt")
    with pytest.raises(ValueError, match="expected an exported network"):
        measure([model, checkpoint], images)
    with pytest.raises(FileNotFoundError, match=r"other\.xml"):
        measure([model, tmp_path / "other.xml"], images)


def test_an_output_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["bench", "--model", str(tmp_path / "none.xml"), "--output", str(tmp_path / "file")]) == 1
    assert "nothing can be written there (it is a file)" in capsys.readouterr().err
