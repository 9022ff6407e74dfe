import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from extensions.data.reading.image_files import read_image
from inference.__main__ import main
from inference.model.predictors import load_predictor
from inference.predict import sinks
from inference.predict.overlays import overlay
from inference.predict.pipeline import predict
from inference.predict.sinks import COLUMNS, Table
from inference.predict.sources import Item, Source, open_source


def run(model, given, output, *more):
    return main(["predict", "--model", str(model), "--input", str(given), "--output", str(output), *more])


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def model(exported):
    return exported / "model.xml"


@pytest.fixture
def folder(tiny_root, tmp_path):
    """Good images and bad files: (names in order, names that cannot be read)."""
    root = tmp_path / "in"
    shutil.copytree(tiny_root / "test/good", root / "a")
    grey = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48) * 28
    Image.fromarray(grey).save(root / "b16.png")
    Image.fromarray(np.full((40, 40, 4), 128, np.uint8), "RGBA").save(root / "c_rgba.png")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(root / "d_1px.png")
    Image.fromarray(np.zeros((4, 20_000, 3), np.uint8)).save(root / "e_wide.png")
    (root / "f_corrupt.png").write_bytes((tiny_root / "test/good/000.png").read_bytes()[:100])
    (root / "g_empty.jpg").write_bytes(b"")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(root / "h_last.png")
    return root


def test_low_16_bit_images_are_told_with_their_number(model, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for number, largest in enumerate((4000, 200, 65535)):
        Image.fromarray(np.full((40, 40), largest, np.uint16)).save(tmp_path / f"in/{number}.png")
    assert run(model, tmp_path / "in", tmp_path / "out") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "lowest sixteenth" in line]
    assert len(told) == 1
    assert told[0].startswith("2 of 3 images: 16-bit image")
    assert (
        "such as 0.png (largest value 4000 of 65535: 12 bits stored in 16); name where their values lie by" in told[0]
    )


def test_every_file_has_a_row_and_what_cannot_be_read_its_reason(model, folder, tmp_path, capsys):
    assert run(model, folder, tmp_path / "out") == 1
    rows = table(tmp_path / "out")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert [row["image"] for row in rows] == names
    assert tuple(rows[0]) == COLUMNS
    failed = {row["image"]: row["error"] for row in rows if row["error"]}
    assert list(failed) == ["f_corrupt.png", "g_empty.jpg"]
    assert "truncated" in failed["f_corrupt.png"]
    assert all((row["pred_score"] == "") == (row["image"] in failed) for row in rows)
    said = capsys.readouterr()
    assert "2 could not be predicted" in said.err
    assert said.out.splitlines()[-1].endswith(f": open {tmp_path / 'out' / 'predictions.csv'}")
    assert "\r" not in said.err


def test_rows_hold_what_the_predictor_says_of_the_image_as_training_reads_it(model, folder, tmp_path):
    run(model, folder, tmp_path / "out")
    predictor = load_predictor(model)
    for row in table(tmp_path / "out"):
        if row["error"]:
            continue
        expected = predictor.predict([read_image(folder / row["image"])])[0]
        assert float(row["pred_score"]) == pytest.approx(expected.pred_score, rel=1e-5)
        assert float(row["threshold"]) == predictor.info.threshold
        assert int(row["pred_label"]) == (float(row["pred_score"]) >= float(row["threshold"]))
        assert 0 <= float(row["pred_score_normalized"]) <= 1


def test_two_runs_give_the_same_table_but_for_times(model, folder, tmp_path):
    for name in ("one", "two"):
        run(model, folder, tmp_path / name, "--overlays")
    one, two = ([{**row, "latency_ms": ""} for row in table(tmp_path / name)] for name in ("one", "two"))
    assert one == two
    for path in (tmp_path / "one/overlays").rglob("*.png"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_a_given_threshold_decides(model, tiny_root, tmp_path):
    assert run(model, tiny_root / "test/good/000.png", tmp_path, "--threshold", "-1") == 0
    [row] = table(tmp_path)
    assert (row["image"], row["threshold"], row["pred_label"]) == ("000.png", "-1.0", "1")


def test_with_one_threshold_the_table_is_as_before_but_for_the_verdict(brightness, tmp_path):
    before = (
        "image,pred_score,pred_score_normalized,threshold,pred_label,latency_ms,error\n"
        "a.png,99,0.496078,100.0,0,1.000,\n"
        "b.png,100,0.5,100.0,1,1.000,\n"
        "c.png,,,100.0,,,bad luck\n"
    )
    written = Table(tmp_path, 100.0)
    for name, value in (("a.png", 99), ("b.png", 100)):
        written.add(name, brightness().predict([np.full((4, 4, 3), value, np.uint8)])[0])
    written.add("c.png", "bad luck")
    written.close()
    lines = [line.split(",") for line in (tmp_path / "predictions.csv").read_text().splitlines()]
    assert [line.pop(5) for line in lines] == ["verdict", "good", "defective", ""]
    assert "".join(",".join(line) + "\n" for line in lines) == before


def test_three_verdicts_are_in_the_table_and_the_last_line(brightness, tmp_path):
    items = [Item(f"{value}.png", np.full((8, 8, 3), value, np.uint8)) for value in (10, 100, 130, 149, 150, 250)]
    source = Source("images", len(items), iter(items), names=[one.name for one in items])
    predictor = brightness(upper=150.0)
    report = predict(predictor, source, tmp_path, progress=False)
    rows = table(tmp_path)
    assert [row["verdict"] for row in rows] == ["good", "unsure", "unsure", "unsure", "defective", "defective"]
    assert [row["pred_label"] for row in rows] == ["0", "1", "1", "1", "1", "1"]
    assert {row["threshold"] for row in rows} == {"100.0"}
    assert report.sentence(predictor.info, tmp_path, overlays=False).startswith(
        "2 of 6 images are defective, 3 unsure (defective: raw score >= 150, unsure: from 100 on), in "
    )


def test_an_overlay_tells_unsure_by_its_color(brightness):
    image, colors = np.full((64, 96, 3), 120, np.uint8), []
    for lower, upper in ((130.0, None), (100.0, 130.0), (100.0, 110.0), (100.0, None)):
        predictor = brightness(threshold=lower, upper=upper)
        colors.append(tuple(overlay(image, predictor.predict([image])[0], predictor.info)[-1, -1].tolist()))
    good, unsure, defective, anomalous = colors
    assert len({good, unsure, defective}) == 3
    assert anomalous == defective


def test_overlays_lie_below_the_names_of_their_images(model, folder, tmp_path):
    run(model, folder, tmp_path / "out", "--overlays")
    drawn = {path.relative_to(tmp_path / "out/overlays").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert drawn == {row["image"] for row in table(tmp_path / "out") if not row["error"]}
    assert read_image(tmp_path / "out/overlays/a/000.png").shape[1] == 64


def test_overlays_of_images_that_differ_by_extension_are_kept_apart(model, tiny_root, tmp_path):
    good, bad = (read_image(tiny_root / f"test/{kind}/000.png") for kind in ("good", "bad"))
    (tmp_path / "in").mkdir()
    Image.fromarray(good).save(tmp_path / "in/x.bmp")
    Image.fromarray(bad).save(tmp_path / "in/x.png")
    assert run(model, tmp_path / "in", tmp_path / "out", "--overlays") == 0
    assert sorted(path.name for path in (tmp_path / "out/overlays").iterdir()) == ["x-bmp.png", "x.png"]
    alone = tmp_path / "alone"
    assert run(model, tiny_root / "test/bad/000.png", alone, "--overlays") == 0
    expected = read_image(alone / "overlays/000.png").astype(int)
    off = [np.abs(read_image(tmp_path / f"out/overlays/{name}.png") - expected).mean() for name in ("x", "x-bmp")]
    assert off[0] < 0.5 < off[1]  # other images beside it in the batch change the last digits


def test_nothing_of_an_earlier_run_stays_beside_a_new_table(model, tiny_root, video, tmp_path):
    out = tmp_path / "out"
    assert run(model, tiny_root / "test/good", out, "--overlays") == 0
    (out / "overlays/mine.txt").write_text("mine")
    assert run(model, video, out, "--overlays") == 0
    left = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert left == ["annotated.mp4", "overlays/mine.txt", "predictions.csv"]
    assert run(model, tiny_root / "test/bad/000.png", out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["overlays", "predictions.csv"]
    assert run(model, tmp_path / "nowhere", out) == 1  # a new run that cannot begin takes nothing away
    assert len(table(out)) == 1


def test_the_last_line_says_what_was_found_and_where(model, tiny_root, video, tmp_path, capsys):
    out = tmp_path / "out"
    for given, more, expected in [
        (tiny_root / "test/good", ["--threshold", "-1", "--overlays"], r"4 of 4 images are anomalous.*heat maps in .*"),
        (tiny_root / "test/bad/000.png", ["--threshold", "1e9"], r"0 of 1 images are anomalous.*predictions.csv"),
        (video, ["--threshold", "-1", "--overlays"], r"12 of 12 frames are anomalous.*heat maps in .*annotated.mp4"),
    ]:
        assert run(model, given, out, *more) == 0
        last = capsys.readouterr().out.splitlines()[-1]
        assert re.fullmatch(expected, last)
        assert f": open {out / 'predictions.csv'}" in last
    (out / "annotated.mp4").unlink()


def test_an_outline_surrounds_what_reaches_the_pixel_threshold(model, images):
    predictor = load_predictor(model)
    prediction = predictor.predict(images[:1])[0]
    prediction.anomaly_map[:] = 0
    prediction.anomaly_map[12:24, 12:24] = 1e6
    drawn = overlay(np.full((96, 96, 3), 128, np.uint8), prediction, predictor.info)
    yellow = (drawn[:96] == (255, 255, 0)).all(axis=2)
    rows, columns = np.nonzero(yellow)
    assert abs(rows.min() - 24) <= 2
    assert abs(rows.max() - 48) <= 2
    assert (abs(columns.min() - 24) <= 2, abs(columns.max() - 48) <= 2) == (True, True)
    assert not yellow[34:38, 34:38].any()


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "line.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for shade in range(12):
        writer.write(np.full((48, 64, 3), 20 * shade, np.uint8))
    writer.release()
    return path


def test_a_video_has_a_row_a_frame_and_an_annotated_copy(model, video, tmp_path):
    assert run(model, video, tmp_path / "out", "--overlays") == 0
    assert [row["image"] for row in table(tmp_path / "out")] == [f"line.mp4#{number:06}" for number in range(12)]
    copy = cv2.VideoCapture(str(tmp_path / "out/annotated.mp4"))
    assert int(copy.get(cv2.CAP_PROP_FRAME_COUNT)) == 12
    assert copy.get(cv2.CAP_PROP_FPS) == 10
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["annotated.mp4", "predictions.csv"]


def test_a_video_that_ends_early_keeps_its_frames_and_says_so(model, video, tmp_path, monkeypatch, capsys):
    opened = cv2.VideoCapture

    class Capture:  # not a subclass: those of OpenCV's types corrupt Python's garbage collector when they are freed
        def __init__(self, where):
            self._capture = opened(where)

        def __getattr__(self, name):
            return getattr(self._capture, name)

        def get(self, what):
            return 20.0 if what == cv2.CAP_PROP_FRAME_COUNT else self._capture.get(what)

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    assert run(model, video, tmp_path / "out") == 1
    assert len(table(tmp_path / "out")) == 12
    assert "the video ends 8 frames early" in capsys.readouterr().err


def test_a_video_that_was_not_written_whole_is_told_and_not_left(model, video, tmp_path, monkeypatch, capsys):
    opened = cv2.VideoWriter

    class FullDisk:
        fourcc = staticmethod(opened.fourcc)

        def __init__(self, path, *given):
            self._path, self._writer = Path(path), opened(path, *given)

        def __getattr__(self, name):
            return getattr(self._writer, name)

        def release(self):
            self._writer.release()
            self._path.write_bytes(self._path.read_bytes()[:500])

    monkeypatch.setattr(cv2, "VideoWriter", FullDisk)
    assert run(model, video, tmp_path / "out", "--overlays") == 1
    assert "annotated.mp4 could not be written whole" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.csv"]
    assert len(table(tmp_path / "out")) == 12


def test_what_was_done_before_an_interruption_is_there_whole(model, tiny_root, tmp_path):
    def items():
        for number in range(20):
            yield Item(f"{number}.png", read_image(tiny_root / "test/good/000.png"))
        raise KeyboardInterrupt

    predictor = load_predictor(model, batch=1, streams=1)
    with pytest.raises(KeyboardInterrupt):
        predict(predictor, Source("images", None, items()), tmp_path, overlays=True, progress=False)
    rows = table(tmp_path)
    assert len(rows) >= 10
    assert all(row["pred_score"] for row in rows)
    assert len(list((tmp_path / "overlays").iterdir())) == len(rows)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere", "there is no such file or folder"),
        ("empty", "the folder has no images"),
        ("notes.txt", "no image .* and no video"),
        ("broken.mp4", "cannot be opened"),
        ("camera:x", "such as camera:0"),
        ("camera:²", "such as camera:0"),
        ("camera:99999999999999999999", "such as camera:0"),
        ("rtsp://127.0.0.1:1/x", "a camera or stream that answers"),
    ],
)
def test_inputs_that_cannot_be_are_one_sentence(given, message, model, tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    where = given if ":" in given else tmp_path / given
    assert run(model, where, tmp_path / "out") == 1
    found = capfd.readouterr().err.strip().splitlines()[-1]
    assert found.startswith("error: ")
    assert re.search(message, found)
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_an_error_before_the_work(model, tiny_root, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(model, tiny_root / "test/good", tmp_path / "file") == 1
    assert "nothing can be written there (it is a file)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("--threshold", value) for value in ("nan", "inf", "1e400", "abc", "")),
        *((name, value) for name in ("--batch", "--streams") for value in ("0", "-1", "1.5", "9" * 20)),
        ("--input", ""),
        ("--output", ""),
        ("--model", " "),
    ],
)
def test_an_option_that_cannot_be_is_told_before_anything_is_opened(name, value, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path / "model.xml", tmp_path, tmp_path / "out", f"{name}={value}")
    assert f"argument {name}: {value}".rstrip() in capsys.readouterr().err.replace("'", "")


def test_overlays_among_the_images_are_refused(model, folder, tmp_path, capsys):
    assert run(model, folder, folder / "out", "--overlays") == 1
    assert "lies in --input" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_a_table_is_written_before_the_end_too(tmp_path, monkeypatch):
    long = Table(tmp_path, 1.0)
    long.add("a.png", "bad")
    assert not (tmp_path / "predictions.csv").exists()
    monkeypatch.setattr(sinks, "KEEP_SECONDS", 0.0)
    often = Table(tmp_path, 1.0)
    often.add("a.png", "bad")
    assert [row["image"] for row in table(tmp_path)] == ["a.png"]


def test_stopping_a_service_keeps_what_was_done(model, tiny_root, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3000):
        (tmp_path / f"in/{number:04}.png").symlink_to(tiny_root / "test/good/000.png")
    given = ["predict", "--model", str(model), "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    with subprocess.Popen([sys.executable, "-m", "inference", *given, "--overlays"], stderr=subprocess.PIPE) as process:
        try:
            while not list(tmp_path.glob("out/overlays/*.png")):
                assert process.poll() is None
                time.sleep(0.02)
            process.terminate()
            errors = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 130
    assert errors.endswith(b"interrupted: what was done is in the output folder\n")
    rows = table(tmp_path / "out")
    assert 0 < len(rows) < 3000
    assert len(list((tmp_path / "out/overlays").iterdir())) == len(rows)


def test_help_imports_no_torch_and_no_openvino():
    code = "import sys, inference.__main__ as m\ntry: m.main(['--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted({'torch', 'openvino', 'cv2', 'anomalib'} & set(sys.modules)))"
    left = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert left.strip().endswith("[]")


def test_export_from_a_checkpoint_leaves_what_predict_needs(checkpoint, tiny_root, tmp_path, capsys):
    given = ["export", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "model")]
    assert main(given) == 1
    assert "--calibration: give a folder" in capsys.readouterr().err
    labelled = ["--calibration", str(tiny_root / "train/good"), "--labelled", str(tiny_root / "test")]
    assert main([*given, *labelled]) == 0
    said = capsys.readouterr().out
    assert "0 labels flipped" in said
    assert said.splitlines()[-1].startswith(f"exported fp32: {tmp_path / 'model' / 'model.xml'}; next: ")
    assert f"predict --model {tmp_path / 'model' / 'model.xml'}" in said
    agreement = json.loads((tmp_path / "model/agreement.json").read_text())
    assert 0 <= agreement["labelled_auroc"]["fp32"] <= 1
    assert run(tmp_path / "model/model.onnx", tiny_root / "test/bad", tmp_path / "out") == 0


def test_sources_list_only_images_in_a_fixed_order(tmp_path):
    for name in ("b/2.png", "a.JPG", ".hidden/x.png", "b/1.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [item.name for item in open_source(str(tmp_path)).items] == ["a.JPG", "b/1.png", "b/2.png"]


NAMES = {
    b"Stra\xdfe.png": r"Stra\xdfe.png",
    b"=1+1.png": "./=1+1.png",
    b"new\nline\x1b.png": r"new\nline\x1b.png",
    b'comma, "q".png': 'comma, "q".png',
    b"x" * 251 + b".png": "x" * 251 + ".png",
    b"sub\xdf/a.png": r"sub\xdf/a.png",
}


def test_no_name_costs_a_row_or_an_overlay(model, tiny_root, tmp_path, capsys):
    for name in NAMES:
        path = tmp_path / "in" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny_root / "test/good/000.png", path)
    (tmp_path / "in" / os.fsdecode(b"broken\xff.png")).write_bytes(b"")
    output = tmp_path / os.fsdecode(b"out\xdf")
    assert run(model, tmp_path / "in", output, "--overlays") == 1
    rows = table(output)
    assert {row["image"] for row in rows} == {*NAMES.values(), r"broken\xff.png"}
    assert [row["image"] for row in rows if row["error"]] == [r"broken\xff.png"]
    assert all(r"broken\xff.png" in row["error"] for row in rows if row["error"])
    overlays = {path.relative_to(output / "overlays").as_posix() for path in (output / "overlays").rglob("*.png")}
    assert len(overlays) == len(NAMES)
    assert all(name.encode() for name in overlays)
    assert r"Stra\xdfe.png" in overlays
    assert run(model, tmp_path / "in" / os.fsdecode(b"gone\xff.png"), output) == 1
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["predict", "--model", "no.ckpt", "--input", "no-folder", "--output", "out"],
        ["predict", "--model", "no.xml", "--input", "no-folder", "--output", "out"],
        ["export", "--checkpoint", "no.ckpt", "--calibration", "no-folder", "--output", "out"],
    ],
    ids=" ".join,
)
def test_a_missing_model_is_told_before_anything_else_is_looked_at(tmp_path, args):
    code = f"import os, sys; from inference.__main__ import main; os.chdir({str(tmp_path)!r}); code = main({args!r}); "
    code += "sys.exit(99 if {'torch', 'openvino'} & set(sys.modules) else code)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.startswith(f"error: {args[2]}: there is no such file")
