import json
import shutil

import pandas as pd
import pytest

from benchmark.api.found_run import find_run
from extensions.data.reading.image_files import read_image
from inference.__main__ import main
from inference.compare.comparison import CompareOptions, compare_runs
from inference.compare.table import COLUMNS, judge_speed, sentences
from inference.model.predictors import load_predictor


def compared(records, folder, output, options=None, *, data_root=None):
    def find(key):
        return find_run(key, records, data_root)

    return compare_runs(records, folder, output=output, find_run=find, options=options)


@pytest.fixture(scope="module")
def records(tiny_root, tmp_path_factory):
    """Output folder of a benchmark with a kept PaDiM and a model that cannot be exported."""
    from benchmark.__main__ import main as benchmark

    folder = tmp_path_factory.mktemp("records")
    config = folder / "line.json"
    settings = {"backbone": "test_resnet", "pre_trained": False, "image_size": 48}
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
    options = CompareOptions(precisions=["fp32", "fp16"], seconds=0.02, repeats=2, batch=2, streams=1)
    frame = compared(records, tiny_root / "test", tmp_path, options, data_root=tiny_root.parent)
    frame = frame.set_index(["model", "precision"])
    padim = frame.loc["Padim", "fp32"]
    files = sorted((tiny_root / "test").rglob("*.png"))
    assert padim["n_images"] == len(files)
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
    assert set(frame.loc["Padim", "verdict"]) == {"kept"}
    assert set(frame.loc["BackboneOcSvm", "verdict"]) == {"rejected"}
    assert padim["threshold"] == padim["threshold_trained"]
    assert pd.isna(padim["threshold_fitted_on"])
    assert tuple(pd.read_csv(tmp_path / "comparison.csv").columns) == COLUMNS


def test_the_command_says_what_could_not_be_compared(records, tiny_root, tmp_path, capsys):
    arguments = ["compare", "--records", str(records), "--input", str(tiny_root / "test"), "--seconds", "0"]
    assert main([*arguments, "--data-root", str(tiny_root.parent), "--output", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "BackboneOcSvm, fp32:" in told.err
    assert "Padim" in told.out
    assert told.out.splitlines()[-1] == f"1 compared, 1 with an error: open {tmp_path / 'comparison.csv'}"
    assert pd.read_csv(tmp_path / "comparison.csv")["network_images_per_second"].isna().all()


def test_masks_and_images_of_the_training_are_no_test_images(records, tiny_root, tmp_path, caplog):
    folder = tmp_path / tiny_root.name
    shutil.copytree(tiny_root, folder)
    (local,) = records.glob("runs/**/Padim*/*/local.json")
    (key,) = {local.parent.name}
    options = CompareOptions(keys=[key], seconds=0)
    frame = compared(records, folder, tmp_path / "out", options, data_root=tmp_path)
    n_test = len(list((folder / "test").rglob("*.png")))
    assert frame["n_images"].tolist() == [n_test]
    assert "masks among the images are left out" in caplog.text
    n_train = len(list((folder / "train").rglob("*.png")))
    assert f"was trained on {n_train} of these images; they are left out" in caplog.text
    train = compared(records, tiny_root / "test", tmp_path / "same", options, data_root=tmp_path)
    assert train["image_AUROC"].tolist() == frame["image_AUROC"].tolist()


def test_a_key_that_is_not_there_is_told_before_anything_is_loaded(records, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.api.found_run.FoundRun.load", lambda _: pytest.fail("loaded"))
    for keys in (["nothing"], ["best:nothing"]):
        with pytest.raises(ValueError, match=r"expected one run with this key|there is no 'nothing'"):
            compared(records, tiny_root / "test", tmp_path, CompareOptions(keys=keys, seconds=0))
    assert list(tmp_path.iterdir()) == []


def test_runs_whose_images_are_gone_are_rows_beside_the_others(records, tiny_root, tmp_path):
    copy = tmp_path / "records"
    shutil.copytree(records, copy)
    (local,) = copy.glob("runs/**/BackboneOcSvm*/*/local.json")
    told = json.loads(local.read_text())
    told["data"]["init_args"]["root"] = str(tmp_path / "nowhere" / tiny_root.name)
    local.write_text(json.dumps(told))
    frame = compared(copy, tiny_root / "test", tmp_path / "out", CompareOptions(seconds=0)).set_index("model")
    assert frame.loc["Padim", "verdict"] == "kept"
    (error,) = frame["error"].dropna()
    assert "nowhere" in error
    assert "--data-root" in error
    (copy / local.parent.relative_to(copy)).rename(tmp_path / "aside")
    for left in copy.glob("runs/**/local.json"):
        left.write_text(left.read_text().replace(str(tiny_root), str(tmp_path / "nowhere" / tiny_root.name)))
    with pytest.raises(RuntimeError, match="nowhere"):  # none is left that could be compared
        compared(copy, tiny_root / "test", tmp_path / "none", CompareOptions(seconds=0))


def rows_of(*speeds, model="Padim", verdict="kept"):
    return [
        dict.fromkeys(COLUMNS) | {
            "run": model, "model": model, "backbone": "test_resnet", "precision": precision, "verdict": verdict,
            "network_images_per_second": speed,
        }
        for precision, speed in zip(("fp32", "int8"), speeds, strict=True)
    ]  # fmt: skip


def test_int8_that_is_not_faster_here_is_kept_but_not_recommended():
    rows = [*rows_of(50.0, 100.0), *rows_of(50.0, 40.0, model="Stfpm"), *rows_of(50.0, None, model="Cflow")]
    rows += rows_of(50.0, 40.0, model="Fastflow", verdict="rejected")
    judge_speed(rows)
    slower = "kept, but not faster than fp32 here"
    assert [row["verdict"] for row in rows[1::2]] == ["kept", slower, "kept", "rejected"]
    assert sentences(pd.DataFrame(rows, columns=list(COLUMNS))) == [
        "Padim test_resnet: int8 is 2.0 times as fast as fp32 on this machine (100 against 50 images/s)",
        "Stfpm test_resnet: int8 is slower than fp32 on this machine (40 against 50 images/s): take fp32 here",
        "fp32: 3 of 4 kept",
        "int8: 3 of 4 kept",
    ]


def test_records_and_labelled_images_are_needed(tiny_root, tmp_path):
    with pytest.raises(ValueError, match="there is no finished run in it"):
        compared(tmp_path, tiny_root / "test", tmp_path / "out")
    shutil.copytree(tiny_root / "test/good", tmp_path / "unlabelled")
    with pytest.raises(ValueError, match="expected images in a folder 'good' and in others"):
        compared(tmp_path, tmp_path / "unlabelled", tmp_path / "out")
