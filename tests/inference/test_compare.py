import json
import shutil

import pandas as pd
import pytest

from extensions.data.reading import read_image
from inference.__main__ import main
from inference.compare import COLUMNS, CompareOptions, compare_runs
from inference.predictors import load_predictor


@pytest.fixture(scope="module")
def records(tiny_root, tmp_path_factory):
    """Output folder of a benchmark with a kept PaDiM and a model that cannot be exported."""
    from benchmark.__main__ import main as benchmark

    folder = tmp_path_factory.mktemp("records")
    config = folder / "line.json"
    settings = {"backbone": "resnet18", "pre_trained": False, "image_size": 48}
    config.write_text(
        json.dumps({
            "name": "line",
            "keep": "all",
            "data": [{
                "class_path": "extensions.Folder",
                "init_args": {"name": "tiny", "root": str(tiny_root), "normal_dir": "train/good",
                              "normal_test_dir": "test/good", "abnormal_dir": "test/bad"},
            }],
            "models": [
                {"class_path": "extensions.Padim", "init_args": {**settings, "n_features": 12}},
                {"class_path": "extensions.BackboneOcSvm", "init_args": settings},
            ],
        })
    )  # fmt: skip
    assert benchmark(["run", "--config", str(config), "--output", str(folder / "out")]) == 0
    return folder / "out"


def test_models_of_a_benchmark_stand_side_by_side(records, tiny_root, tmp_path):
    options = CompareOptions(
        precisions=["fp32", "fp16"], data_root=tiny_root.parent, seconds=0.02, repeats=2, batch=2, streams=1
    )
    frame = compare_runs(records, tiny_root / "test", tmp_path, options).set_index(["model", "precision"])
    padim = frame.loc["Padim", "fp32"]
    files = sorted((tiny_root / "test").rglob("*.png"))
    assert padim["n_pictures"] == len(files)
    assert padim["largest_score_difference"] <= 1e-3
    assert padim["n_flipped"] == 0
    assert padim["image_AUROC"] == pytest.approx(padim["image_AUROC_trained"])
    exported = load_predictor(tmp_path / f"Padim-{padim['run'][:8]}" / "fp32/model.xml")
    scores = [exported.predict([read_image(file)])[0].pred_score for file in files]
    good = [score for file, score in zip(files, scores, strict=True) if file.parent.name == "good"]
    bad = [score for file, score in zip(files, scores, strict=True) if file.parent.name != "good"]
    won = sum((b > g) + (b == g) / 2 for b in bad for g in good)
    assert padim["image_AUROC"] == pytest.approx(won / len(good) / len(bad))
    assert (frame.loc["Padim", ["backbone_images_per_second", "end_to_end_images_per_second"]] > 0).all(axis=None)
    assert frame.loc["Padim", "fp16"]["megabytes"] < padim["megabytes"]
    assert "map" in frame.loc["BackboneOcSvm", "fp32"]["error"]
    assert tuple(pd.read_csv(tmp_path / "comparison.csv").columns) == COLUMNS


def test_the_command_says_what_could_not_be_compared(records, tiny_root, tmp_path, capsys):
    arguments = ["compare", "--records", str(records), "--input", str(tiny_root / "test"), "--seconds", "0"]
    assert main([*arguments, "--data-root", str(tiny_root.parent), "--output", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "BackboneOcSvm, fp32:" in told.err
    assert "Padim" in told.out
    assert told.out.splitlines()[-1] == f"1 compared, 1 with an error: open {tmp_path / 'comparison.csv'}"
    assert pd.read_csv(tmp_path / "comparison.csv")["network_images_per_second"].isna().all()


def test_a_key_that_is_not_there_is_a_row_with_its_reason(records, tiny_root, tmp_path):
    options = CompareOptions(keys=["nothing"], seconds=0)
    frame = compare_runs(records, tiny_root / "test", tmp_path, options)
    assert "expected one run with this key" in frame["error"].item()


def test_records_and_labelled_pictures_are_needed(tiny_root, tmp_path):
    with pytest.raises(ValueError, match="there is no finished run in it"):
        compare_runs(tmp_path, tiny_root / "test", tmp_path / "out")
    shutil.copytree(tiny_root / "test/good", tmp_path / "unlabelled")
    with pytest.raises(ValueError, match="expected pictures in a folder 'good' and in others"):
        compare_runs(tmp_path, tmp_path / "unlabelled", tmp_path / "out")
