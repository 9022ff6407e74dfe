"""A network of tiles on the line says of whole images what the trained model says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from anomalib.engine import Engine
from fastapi.testclient import TestClient
from lightning import seed_everything

import extensions
from extensions.data.imaging import Imaging
from extensions.data.reading.image_files import read_image
from extensions.data.tiling.settings import Tiling
from inference.export.write_model import ExportOptions, export_model
from inference.measure.bench import measure
from inference.model.checkpoints import load_checkpoint
from inference.model.metadata import ModelInfo
from inference.model.predictors import load_predictor
from inference.model.tiles import cut, stitched
from inference.predict.pipeline import predict
from inference.predict.sources import open_source
from inference.serve.server import create_app, warm_up

MODELS = {"Patchcore": {"coreset_sampling_ratio": 0.05, "num_neighbors": 3}, "Padim": {"n_features": 10}, "Stfpm": {}}


def trained(strips: Path, output: Path, name: str, **changes: object) -> Path:
    seed_everything(0)
    tiling = {"tile": 64, "overlap": 16} | {k: v for k, v in changes.items() if k == "resize"}
    size = changes.get("image_size", 64)
    model = getattr(extensions, name)(
        "test_resnet",
        pre_trained=False,
        image_size=size,
        evaluator=False,
        visualizer=False,
        **MODELS[name],
        score_pooling=changes.get("score_pooling"),
    )
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    engine = Engine(default_root_dir=output, max_epochs=1, **quiet)
    engine.fit(model, datamodule=extensions.MVTecAD(strips, "", name="strips", tiling=tiling, num_workers=0))
    return Path(engine.best_model_path)


def export(checkpoint: Path, output: Path, strips: Path, **options: object):
    model, info = load_checkpoint(checkpoint)
    files = sorted((strips / "train/good").iterdir())
    return export_model(model, info, output, files=files, options=ExportOptions(**options))


@pytest.fixture(scope="module")
def checkpoint(strips, tmp_path_factory) -> Path:
    return trained(strips, tmp_path_factory.mktemp("trained"), "Padim")


@pytest.fixture(scope="module")
def exported(checkpoint, strips, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("exported") / "model"
    assert export(checkpoint, output, strips).agrees
    return output / "model.xml"


@pytest.fixture
def whole(strips) -> list[np.ndarray]:
    return [read_image(path) for path in sorted((strips / "test").rglob("*.png"))]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("Patchcore", {}),
        ("Padim", {}),
        pytest.param("Stfpm", {}, marks=pytest.mark.slow),  # without a layout of its own for export, as others are
        ("Padim", {"resize": [128, 64]}),
        ("Padim", {"image_size": 48}),
        ("Patchcore", {"score_pooling": "top_5%"}),
    ],
)
def test_exported_scores_and_maps_of_whole_images_are_those_of_the_trained_model(
    name, changes, strips, whole, tmp_path
):
    checkpoint = trained(strips, tmp_path / "trained", name, **changes)
    assert export(checkpoint, tmp_path / "model", strips).agrees
    network, model = load_predictor(tmp_path / "model/model.xml"), load_predictor(checkpoint)
    assert ModelInfo.read(tmp_path / "model/model.json").tiling == model.info.tiling
    for found, expected in zip(network.predict(whole), model.predict(whole), strict=True):
        assert found.pred_score == pytest.approx(expected.pred_score, abs=1e-4)
        assert found.anomaly_map.shape == tuple(changes.get("resize", (176, 64)))
        np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, atol=1e-4)
        if "score_pooling" in changes:  # of the whole image, 5 % of 176 x 64 px
            highest = np.sort(found.anomaly_map, axis=None)[-563:]
            assert found.pred_score == pytest.approx(highest.mean(), rel=1e-5)


def test_whole_images_come_back_in_order_whatever_size_and_number_of_tiles_they_have(exported, whole):
    network = load_predictor(exported, batch=3)
    images = [whole[0], whole[1][:64], np.zeros((40, 64, 3), np.uint8), whole[2][:100], "no image", whole[3]]
    found = dict(network.stream(enumerate(images)))
    assert list(found) == list(range(6))
    for place in (0, 1, 3, 5):
        alone = network.predict([images[place]])[0]
        assert found[place].pred_score == pytest.approx(alone.pred_score, abs=1e-5)
        assert found[place].anomaly_map.shape == images[place].shape[:2]
        assert found[place].latency_ms > 0
    assert "the image is 40 x 64 px (height x width), smaller than a tile of 64 x 64" in str(found[2])
    assert "expected an image of uint8" in str(found[4])


def test_a_checkpoint_refuses_an_image_that_is_smaller_than_a_tile(checkpoint):
    with pytest.raises(ValueError, match="the image is 40 x 64 px"):
        load_predictor(checkpoint).predict([np.zeros((40, 64, 3), np.uint8)])


def test_predict_and_serve_answer_for_whole_images(exported, strips, whole, tmp_path):
    predictor = load_predictor(exported)
    report = predict(predictor, open_source(str(strips / "test")), tmp_path, overlays=True, progress=False)
    assert report.is_complete
    drawn = read_image(next((tmp_path / "overlays").rglob("*.png")))
    assert (drawn.shape[0] > 176, drawn.shape[1]) == (True, 64)  # with a line below
    warm_up(predictor)
    client = TestClient(create_app(predictor), base_url="http://127.0.0.1")
    answered = client.post("/predict?map=true", content=(strips / "test/bad/0.png").read_bytes()).json()
    expected = predictor.predict([read_image(strips / "test/bad/0.png")])[0]
    assert answered["pred_score"] == pytest.approx(expected.pred_score, abs=1e-5)
    assert client.get("/info").json()["tiling"] == {"tile": [64, 64], "overlap": [16, 16], "resize": None}


def test_int8_is_calibrated_on_tiles(checkpoint, strips, tmp_path):
    agreement = export(checkpoint, tmp_path / "model", strips, precision="int8", allow_difference=True)
    assert agreement.summary.n_images == 4
    assert load_predictor(tmp_path / "model/model.xml").info.precision == "int8"


def test_bench_measures_tiles_and_whole_images_and_refuses_anomalibs_inferencer(exported, checkpoint, strips):
    frame = measure([exported], strips / "test", streams=[1], batches=[2], seconds=0.05)
    assert list(frame["what"]) == ["backbone", "network", "end to end"]
    with pytest.raises(ValueError, match="this was trained on tiles of 64 x 64 px, overlap 16 x 16, which anomalib's"):
        measure([exported], strips / "test", stock=checkpoint)


def test_latencies_of_tiles_add_up_and_those_of_streams_count_once():
    tiling = Tiling((64, 64), (0, 0))
    image = np.zeros((64, 64 * 6, 3), np.uint8)
    scored = [
        (key, SimpleNamespace(pred_score=0.0, anomaly_map=np.zeros((64, 64), np.float32), latency_ms=10.0))
        for key, _ in cut([("a", image)], Imaging(tiling=tiling), "uint8")
    ]
    for streams, batch, expected in ((1, 1, 60.0), (2, 1, 30.0), (4, 3, 30.0), (4, 8, 60.0)):
        [(_, found)] = stitched(scored, lambda *told: told[2], streams=streams, batch=batch)
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("changes", [{}, {"image_size": 48}])
def test_the_example_for_plain_openvino_says_the_same(changes, checkpoint, strips, whole, tmp_path):
    page = (Path(__file__).parents[3] / "docs/tiling.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    path = trained(strips, tmp_path / "trained", "Padim", **changes) if changes else checkpoint
    export(path, tmp_path / "model", strips)
    found: dict[str, object] = {}
    image = sorted((strips / "test").rglob("*.png"))[0]
    exec(code.replace("strip.png", str(image)).replace("model/model", str(tmp_path / "model/model")), found)
    expected = load_predictor(tmp_path / "model/model.xml").predict(whole[:1])[0]
    assert found["score"] == pytest.approx(expected.pred_score, abs=1e-5)
    np.testing.assert_allclose(found["anomaly_map"], expected.anomaly_map, atol=1e-5)
