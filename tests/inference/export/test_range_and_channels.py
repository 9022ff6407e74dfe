"""Models of a range and of many channels on the line: exported, predicted with, served, as in training."""

import io
import json

import cv2
import numpy as np
import openvino
import pandas as pd
import pytest
import tifffile
from anomalib.engine import Engine
from fastapi.testclient import TestClient
from PIL import Image

from extensions import Folder, Padim
from inference.__main__ import main
from inference.measure.bench import measure
from inference.model.metadata import ModelInfo
from inference.model.predictors import load_predictor
from inference.serve.server import create_app, warm_up

SIDE = 64


def grey(rng, *, is_bad):
    values = rng.normal(1200, 20, (SIDE, SIDE))
    if is_bad:
        values[20:40, 20:40] += 120
    return values.astype(np.uint16)


def write_12_bits(root):
    for name, n in (("good", 9), ("bad", 3)):
        (root / name).mkdir(parents=True)
        for index in range(n):
            Image.fromarray(grey(np.random.default_rng([index, n]), is_bad=n == 3)).save(root / name / f"{index}.png")
    return {"range": [1000, 1400]}


def write_files_of_channels(root):
    for name, n in (("good", 9), ("bad", 3)):
        (root / name).mkdir(parents=True)
        for index in range(n):
            rng = np.random.default_rng([index, n])
            rgb = rng.integers(90, 160, (SIDE, SIDE, 3)).astype(np.uint8)
            Image.fromarray(rgb).save(root / name / f"{index}_rgb.png")
            Image.fromarray(grey(rng, is_bad=n == 3)).save(root / name / f"{index}_nir.png")
            depth = rng.normal(1.5, 0.01, (SIDE, SIDE)).astype(np.float32)
            tifffile.imwrite(root / name / f"{index}_depth.tif", depth)
    return {"channels": ["_rgb.png", "_nir.png", "_depth.tif"], "range": "auto"}


def write_stacks(root):
    for name, n in (("good", 9), ("bad", 3)):
        (root / name).mkdir(parents=True)
        for index in range(n):
            rng = np.random.default_rng([index, n])
            stack = np.dstack([grey(rng, is_bad=n == 3), *rng.integers(0, 65535, (4, SIDE, SIDE))])
            np.save(root / name / f"{index}.npy", stack.astype(np.uint16))
    return {"channels": 5}


WRITERS = {"12 bits": write_12_bits, "files": write_files_of_channels, "stacks": write_stacks}


@pytest.fixture(scope="module", params=list(WRITERS))
def line(request, tmp_path_factory):
    """The kind of data, their folder, a checkpoint, and its export."""
    root = tmp_path_factory.mktemp("line")
    settings = WRITERS[request.param](root / "data")
    data = Folder("line", "good", root=root / "data", abnormal_dir="bad", num_workers=0, **settings)
    model = Padim("test_resnet", pre_trained=False, image_size=48, evaluator=False, visualizer=False)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    engine = Engine(default_root_dir=root / "out", **quiet)
    engine.fit(model, datamodule=data)
    checkpoint = engine.best_model_path
    calibration = ["--calibration", str(root / "data" / "good")]
    assert main(["export", "--checkpoint", checkpoint, "--output", str(root / "export"), *calibration]) == 0
    return request.param, root, checkpoint


def test_the_export_agrees_with_training_on_drawn_defects_too(line):
    _, root, _ = line
    summary = json.loads((root / "export" / "agreement.json").read_text())
    assert summary["largest_score_difference"] < 1e-4
    assert summary["largest_map_difference"] < 1e-4
    assert summary["n_defects"] > 0


def test_openvino_onnx_and_torch_predict_alike_on_a_folder(line):
    kind, root, checkpoint = line
    found = {}
    for model in (root / "export" / "model.xml", root / "export" / "model.onnx", checkpoint):
        given = ["--model", str(model), "--input", str(root / "data" / "bad"), "--output", str(root / "predicted")]
        assert main(["predict", *given, "--overlays"]) == 0
        found[str(model)] = pd.read_csv(root / "predicted" / "predictions.csv")
    ends = {"12 bits": ".png", "files": "_rgb.png", "stacks": ".npy"}
    for table in found.values():
        assert table["image"].tolist() == [f"{index}{ends[kind]}" for index in range(3)]
        np.testing.assert_allclose(table["pred_score"], found[checkpoint]["pred_score"], rtol=1e-4)
    drawn = cv2.imread(str(next((root / "predicted" / "overlays").iterdir())))
    assert drawn.std() > 10  # something is to be seen


def test_the_network_takes_the_counts_of_the_files(line):
    kind, root, _ = line
    image = openvino.Core().read_model(root / "export" / "model.xml").input(0)
    dtype, n_channels = {"12 bits": ("u16", 3), "files": ("f32", 5), "stacks": ("u8", 5)}[kind]
    assert image.element_type.get_type_name() == dtype
    assert image.partial_shape[3].get_length() == n_channels
    info = ModelInfo.read(root / "export" / "model.json")
    assert info.imaging.n_channels == n_channels
    if kind == "12 bits":
        assert info.range == {"lows": [1000.0], "highs": [1400.0], "is_floating": False}


def test_what_is_no_image_of_the_model_is_told(line):
    kind, root, _ = line
    predictor = load_predictor(root / "export" / "model.xml")
    expected = {"12 bits": "uint16, .height, width, 3.", "files": "float32", "stacks": "uint8, .height, width, 5."}
    with pytest.raises(ValueError, match=f"expected an image of {expected[kind]}"):
        predictor.predict([np.zeros((8, 8, 4), np.uint8)])


def test_the_server_takes_one_file_with_all_channels(line):
    kind, root, _ = line
    predictor = load_predictor(root / "export" / "model.xml")
    warm_up(predictor)
    client = TestClient(create_app(predictor), base_url="http://127.0.0.1")
    given = ["--model", str(root / "export" / "model.xml"), "--input", str(root / "data" / "bad")]
    assert main(["predict", *given, "--output", str(root / "predicted")]) == 0
    expected = pd.read_csv(root / "predicted" / "predictions.csv")["pred_score"][0]
    bad = root / "data" / "bad"
    if kind == "files":
        parts = [np.asarray(Image.open(bad / name)) for name in ("0_rgb.png", "0_nir.png", "0_depth.tif")]
        np.save(file := io.BytesIO(), np.dstack(parts).astype(np.float32))
        content = file.getvalue()
    else:
        content = (bad / {"12 bits": "0.png", "stacks": "0.npy"}[kind]).read_bytes()
    answer = client.post("/predict?view=true", content=content)
    assert answer.status_code == 200, answer.text
    assert answer.json()["pred_score"] == pytest.approx(expected, rel=1e-4)
    if kind != "12 bits":
        np.save(file := io.BytesIO(), np.array([[{}]], object), allow_pickle=True)
        refused = client.post("/predict", content=file.getvalue())
        assert refused.status_code == 422
        assert "pickled objects, which are not loaded" in refused.json()["detail"]
        np.save(file := io.BytesIO(), np.zeros((8, 8, 2), np.uint8))
        assert "it has 2 channels; expected 5" in client.post("/predict", content=file.getvalue()).json()["detail"]


@pytest.mark.parametrize("line", ["files"], indirect=True)
def test_a_missing_file_of_an_image_is_an_error_in_its_row(line, tmp_path):
    _, root, _ = line
    for name in ("0_rgb.png", "0_nir.png", "1_rgb.png", "1_nir.png", "1_depth.tif"):
        (tmp_path / name).write_bytes((root / "data" / "bad" / name).read_bytes())
    given = ["--model", str(root / "export" / "model.xml"), "--input", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main(["predict", *given]) == 1
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert "0_depth.tif: there is no such file, which belongs to 0_rgb.png" in table["error"][0]
    assert table["pred_score"].notna().tolist() == [False, True]


@pytest.mark.parametrize("line", ["12 bits"], indirect=True)
def test_int8_is_calibrated_on_the_counts(line, tmp_path):
    _, root, checkpoint = line
    given = ["--checkpoint", checkpoint, "--output", str(tmp_path / "int8"), "--precision", "int8"]
    given += ["--calibration", str(root / "data" / "good"), "--allow-difference"]
    assert main(["export", *given]) == 0
    bench = measure([tmp_path / "int8" / "model.xml"], root / "data" / "bad", streams=(1,), batches=(2,), seconds=0.05)
    assert bench["what"].tolist() == ["backbone", "network", "end to end"]
