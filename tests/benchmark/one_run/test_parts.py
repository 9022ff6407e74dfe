"""A sweep over parts of two images each: folds, scores, intervals, thresholds and packed runs know them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from scipy import ndimage

from benchmark.__main__ import main
from benchmark.api.packing import pack
from benchmark.records.archive import load, read_records
from benchmark.records.packed import read_scores
from benchmark.tables.leaderboard import build_tables
from benchmark.tables.stored_scores import StoredScores


@pytest.fixture
def table(tiny_root: Path, tmp_path: Path) -> Path:
    """Two images of a folder are of one part."""
    path = tmp_path / "groups.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "group"])
        for folder in ("train/good", "test/good", "test/bad"):
            for index, image in enumerate(sorted((tiny_root / folder).glob("*.png"))):
                writer.writerow([image.as_posix(), f"{folder[:2]}{folder[-3:]} {index // 2}"])
    return path


@pytest.fixture
def output(tiny_config, table: Path, tmp_path: Path) -> Path:
    """Of a sweep with a requirement, with parts named and without."""
    path = tiny_config(1)
    config = yaml.safe_load(path.read_text())
    plain = config["data"][0]["init_args"]
    named = {**plain, "name": "parts", "group": str(table)}
    config["data"] = [{"class_path": "extensions.Folder", "init_args": one} for one in (plain, named)]
    path.write_text(yaml.safe_dump(config | {"requirement": {"max_false_alarms": 0.5}}))
    assert main(["run", "--config", str(path), "--output", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def test_a_sweep_over_parts_draws_folds_and_ranks_by_them(output: Path, tmp_path: Path) -> None:
    records = {record.dataset.name: record for record in read_records(output)}
    parts, plain = (read_scores(output, records[name]) for name in ("parts", "tiny"))
    assert list(parts.columns) == [*plain.columns, "group"]
    assert parts.groupby("group").size().tolist() == [2, 2, 2, 2]
    assert (parts.groupby("group")["fold"].nunique() == 1).all()
    np.testing.assert_allclose(parts["score"], plain["score"], rtol=1e-6)
    assert records["parts"].key != records["tiny"].key
    assert (records["parts"].dataset.part_score, records["tiny"].dataset.part_score) == ("max", None)
    assert records["parts"].dataset.n_test_groups_anomalous == 2
    assert "on 2 good and 2 defective parts of test images" in records["parts"].thresholds.source
    assert "on 4 good and 4 defective test images" in records["tiny"].thresholds.source

    found = load(output)
    tables = build_tables(found.records, found.plans, stored=StoredScores(output))
    rows = tables.leaderboard.set_index("dataset")
    width = rows["image_AUROC_high"] - rows["image_AUROC_low"]
    assert width["parts"] > width["tiny"]  # two parts of a kind tell less than four images
    assert (rows.loc["parts", "part_AUROC"], rows.loc["parts", "part_n_good"]) == (1.0, 2)
    assert rows.loc["parts", "part_missed_told"] == "0 of 2"
    assert rows.loc["tiny", [name for name in tables.table if name.startswith("part_")]].isna().all()

    pack(output, tmp_path / "packed", allow_uncommitted=True)
    for name, record in records.items():
        pd.testing.assert_frame_equal(read_scores(tmp_path / "packed", record), parts if name == "parts" else plain)


def test_siblings_in_training_make_a_useless_detector_look_perfect(tmp_path: Path, monkeypatch) -> None:
    """Good and "defective" parts differ in nothing, so the true AUROC is 0.5; half of the good ones were trained on."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    root, rng = tmp_path / "leak", np.random.default_rng(0)

    def save(part: int, folder: str, view: int) -> None:
        surface = ndimage.gaussian_filter(np.random.default_rng(part).normal(size=(64, 64, 3)), (3, 3, 0))
        pixels = 128 + 30 * surface / surface.std() + rng.normal(0, 2, surface.shape)
        path = root / folder / f"p{part}_{view}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)

    for part in range(60):
        save(part, "train/good", 0)
    for part in range(30):
        save(part, "test/good", 1)
        save(100 + part, "test/dent", 0)
    data = {"root": str(root), "category": "", "group": "p([0-9]+)_", "num_workers": 0}
    model = {"backbone": "test_resnet", "pre_trained": False, "image_size": 64, "coreset_sampling_ratio": 1.0}
    config = {
        "name": "leak",
        "models": [{"class_path": "extensions.Patchcore", "init_args": model}],
        "data": [
            {"class_path": "extensions.MVTecAD", "init_args": {**data, "name": way, "shared_groups": way}}
            for way in ("keep", "not_trained")
        ],
    }
    path = tmp_path / "leak.yaml"
    path.write_text(yaml.safe_dump(config))
    assert main(["run", "--config", str(path), "--output", str(tmp_path / "out")]) == 0
    found = {record.dataset.name: record for record in read_records(tmp_path / "out")}
    assert found["keep"].metrics["image_AUROC"] > 0.95
    assert abs(found["not_trained"].metrics["image_AUROC"] - 0.5) < 0.2  # its standard error is 0.075
    assert (found["keep"].dataset.n_train, found["not_trained"].dataset.n_train) == (60, 30)
    tested = [read_scores(tmp_path / "out", record)["image"].tolist() for record in found.values()]
    assert tested[0] == tested[1]
