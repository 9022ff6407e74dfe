"""Parts of several images on the line: which images are of one, what it scores, and its verdict."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmark.__main__ import main as benchmark
from inference.__main__ import main
from inference.model.metadata import ModelInfo, Parts
from inference.model.predictors import Prediction
from inference.predict.part_table import PART_COLUMNS, PartTable, asked_parts

INFO = ModelInfo(model="Padim", image_size=(8, 8), threshold=2.0)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _prediction(score: float) -> Prediction:
    return Prediction(pred_score=score, anomaly_map=np.zeros((2, 2), np.float32), pred_label=score >= 2,
                      pred_score_normalized=None, latency_ms=1.0, verdict=INFO.verdict(score))  # fmt: skip


@pytest.fixture(scope="module")
def model(exported):
    return exported / "model.xml"


@pytest.fixture
def folder(tiny_root, tmp_path):
    """Two good parts of two images, a defective one of a good and a defective image, and one with a broken image."""
    root = tmp_path / "in"
    root.mkdir()
    good, bad = sorted((tiny_root / "test/good").glob("*.png")), sorted((tiny_root / "test/bad").glob("*.png"))
    for name, source in {"p1_a": good[0], "p1_b": good[1], "p2_a": good[2], "p2_b": bad[0], "p3_a": good[3]}.items():
        shutil.copy(source, root / f"{name}.png")
    (root / "p3_b.png").write_bytes(b"no image")
    return root


def test_the_images_of_a_part_are_judged_as_one(model, folder, tmp_path, capsys):
    asked = ["--model", str(model), "--input", str(folder), "--output", str(tmp_path / "out")]
    assert main(["predict", *asked, "--group", "(p[0-9])_"]) == 1  # an image could not be read
    images = {row["image"]: row for row in rows(tmp_path / "out/predictions.csv")}
    parts = {row["part"]: row for row in rows(tmp_path / "out/parts.csv")}
    assert list(parts) == ["p1", "p2", "p3"]
    assert [parts[name]["verdict"] for name in parts] == ["good", "defective", ""]
    assert [parts[name]["n_errors"] for name in parts] == ["0", "0", "1"]
    assert parts["p2"]["worst_image"] == "p2_b.png"
    assert parts["p2"]["pred_score"] == images["p2_b.png"]["pred_score"]
    assert parts["p1"]["threshold"] == images["p1_a.png"]["threshold"]
    assert "1 of 3 parts are defective, 1 without a verdict, for an image could not be read" in capsys.readouterr().out

    assert main(["predict", *asked, "--group", "(p[0-9])_", "--part-score", "mean"]) == 1
    (two,) = [row for row in rows(tmp_path / "out/parts.csv") if row["part"] == "p2"]
    mean = sum(float(images[f"p2_{one}.png"]["pred_score"]) for one in "ab") / 2
    assert float(two["pred_score"]) == pytest.approx(mean, rel=1e-6)
    assert (two["threshold"], two["verdict"]) == ("", "")
    assert "for which the model has no threshold" in capsys.readouterr().out

    assert main(["predict", *asked]) == 1  # without parts, what was said of them before is gone
    assert not (tmp_path / "out/parts.csv").exists()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--group", "(p[0-9]"], "is no regular expression"),
        (["--group", "p[0-9]_"], "has no parentheses"),
        (["--group", "(q[0-9])_"], "matches the part of 0 of 6 images"),
        (["--group", "none.csv"], "has no file none.csv"),
        (["--part-score", "max"], "no parts are named"),
        (["--group", "folder", "--part-score", "worst"], "expected max, mean or top and a number"),
    ],
)
def test_parts_that_cannot_be_are_one_sentence_before_the_work(model, folder, tmp_path, capsys, more, expected):
    asked = ["--model", str(model), "--input", str(folder), "--output", str(tmp_path / "out")]
    assert main(["predict", *asked, *more]) == 1
    told = capsys.readouterr().err.strip()
    assert expected in told
    assert "\n" not in told
    assert not (tmp_path / "out").exists()


def test_a_band_of_two_thresholds_and_an_unread_image(tmp_path):
    parts = Parts("max", "x", threshold=2.0, upper_threshold=4.0)
    part_of = {"a": "good", "b": "good", "c": "unsure", "d": "bad", "e": "bad", "f": "broken"}
    table = PartTable(tmp_path, parts, part_of)
    for name, score in {"a": 1.0, "b": 1.5, "c": 2.0, "d": 4.0}.items():
        table.add(name, _prediction(score))
    for name in "ef":
        table.add(name, "cut off")
    table.close()
    assert [(row["part"], row["verdict"]) for row in rows(tmp_path / "parts.csv")] == [
        ("good", "good"), ("unsure", "unsure"), ("bad", "defective"), ("broken", ""),
    ]  # fmt: skip
    assert table.sentence().startswith("1 of 4 parts are defective, 1 unsure, 1 without a verdict")
    assert list(rows(tmp_path / "parts.csv")[0]) == list(PART_COLUMNS)


def test_what_the_model_knows_of_parts_holds_unless_given():
    known = replace(INFO, parts=Parts("mean", "(p)", threshold=1.2, promise="kept"))
    assert asked_parts(known, None, None) == known.parts
    assert asked_parts(known, "folder", "mean") == replace(known.parts, group="folder")
    assert asked_parts(known, None, "max") == Parts("max", "(p)")
    assert asked_parts(INFO, None, None) is None
    assert asked_parts(INFO, "folder", None) == Parts("max", "folder", threshold=2.0)


def test_a_run_over_parts_is_exported_with_their_thresholds(tiny_root, tmp_path, monkeypatch, capsys):
    """From the sweep to the verdict on a part; int8 has thresholds of its own scores."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "data"
    for part, source in {"good": "train/good", "test": "test/good", "bad": "test/bad"}.items():
        for index, image in enumerate(sorted((tiny_root / source).glob("*.png"))):
            target = root / part / f"p{index // 2}{part}_{index % 2}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, target)
    config = {
        "name": "parts",
        "keep": "all",
        "models": [{"class_path": "extensions.Padim", "init_args": {
            "backbone": "test_resnet", "pre_trained": False, "image_size": 64, "n_features": 10}}],
        "data": [{"class_path": "extensions.Folder", "init_args": {
            "name": "parts", "root": str(root), "normal_dir": "good", "normal_test_dir": "test", "abnormal_dir": "bad",
            "num_workers": 0, "group": "(p[0-9][a-z]+)_", "part_score": "top2"}}],
        "requirement": {"max_false_alarms": 0.5},
    }  # fmt: skip
    (tmp_path / "parts.yaml").write_text(yaml.safe_dump(config))
    out = tmp_path / "out"
    assert benchmark(["run", "--config", str(tmp_path / "parts.yaml"), "--output", str(out)]) == 0
    record = json.loads(next(out.glob("runs/**/record.json")).read_text())
    thresholds = record["thresholds"]
    assert "for parts like the 2 good parts" in thresholds["part_promise"]
    for precision in ("fp32", "int8"):
        to = tmp_path / precision
        given = ["--run", "best", "--records", str(out), "--output", str(to), "--precision", precision]
        assert main(["export", *given, "--allow-difference"]) == 0
        info = json.loads((to / "model.json").read_text())
        parts = info["parts"]
        assert (parts["score"], parts["group"]) == ("top2", "(p[0-9][a-z]+)_")
        assert parts["threshold"] == pytest.approx(info["threshold"], rel=0.05)  # of its own scores
        if precision == "fp32":
            assert parts["threshold"] == pytest.approx(thresholds["part"])
            assert parts["promise"] == thresholds["part_promise"]
    capsys.readouterr()
    asked = ["--model", str(tmp_path / "fp32/model.xml"), "--input", str(root), "--output", str(tmp_path / "seen")]
    assert main(["predict", *asked]) == 0
    verdicts = {row["part"]: row["verdict"] for row in rows(tmp_path / "seen/parts.csv")}
    assert verdicts["p0bad"] == verdicts["p1bad"] == "defective"
    assert len(verdicts) == 8

    (root / "other.png").write_bytes(next((root / "good").iterdir()).read_bytes())
    assert main(["predict", *asked]) == 0  # what the model cannot name is told, and the images are judged
    assert "no parts are judged: data set" in capsys.readouterr().err
    assert not (tmp_path / "seen/parts.csv").exists()
