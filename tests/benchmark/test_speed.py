"""The speed table: what is measured, what is extrapolated, and that different results are no speed."""

import json

import pandas as pd
import pytest
import torch

from benchmark import speed
from benchmark.speed_features import made_up_embedding, picture_embedding


@pytest.fixture(scope="module")
def embedding() -> torch.Tensor:
    return made_up_embedding(4, side=16, n_channels=32)


def test_made_up_features_have_the_asked_shape_and_repeat_by_seed(embedding) -> None:
    assert embedding.shape == (4 * 16 * 16, 32)
    assert embedding.dtype == torch.float32
    assert (embedding >= 0).all()
    assert torch.equal(embedding, made_up_embedding(4, side=16, n_channels=32))
    assert not torch.equal(embedding, made_up_embedding(4, side=16, n_channels=32, seed=1))


def test_stock_timed_for_some_centers_is_marked_extrapolated(tmp_path, embedding) -> None:
    frame = speed.run_speed(tmp_path, centers=3, embedding=embedding)
    row = frame.iloc[0]
    record = json.loads((tmp_path / "coreset.json").read_text())
    assert list(frame.columns) == list(speed.COLUMNS)
    assert row["extrapolated"]
    assert row["ratio"] == pytest.approx(row["stock_seconds"] / row["ours_seconds"])
    assert record["indices_equal"]
    assert (record["n_points"], record["n_centers"], record["n_stock_centers"]) == (1024, 10, 3)
    assert {"cpu", "n_cores", "torch", "anomalib"} <= set(record["environment"])
    assert pd.read_csv(tmp_path / "coreset.csv")["work"].tolist() == ["PatchCore coreset"]


def test_the_full_measurement_is_not_extrapolated(tmp_path, embedding, monkeypatch) -> None:
    monkeypatch.setenv("SPEED", "full")
    row = speed.run_speed(tmp_path, embedding=embedding).iloc[0]
    assert not row["extrapolated"]
    assert "stock timed for all" in row["detail"]


def test_measuring_leaves_the_random_state_alone(tmp_path, embedding) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    speed.run_speed(tmp_path, centers=2, embedding=embedding)
    assert torch.equal(torch.rand(3), expected)


def test_different_indices_are_an_error_and_leave_no_result(tmp_path, embedding, monkeypatch) -> None:
    monkeypatch.setattr(speed, "_ours", lambda *_: (list(range(10)), 1.0))
    with pytest.raises(RuntimeError, match="expected equal indices"):
        speed.run_speed(tmp_path, centers=5, embedding=embedding)
    assert not list(tmp_path.iterdir())


def test_an_unknown_kind_of_measurement_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SPEED", "fast")
    with pytest.raises(ValueError, match="SPEED is 'fast'"):
        speed.run_speed(tmp_path)


def test_a_folder_without_pictures_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        picture_embedding(tmp_path)
