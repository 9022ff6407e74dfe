"""Exported networks take their scores from their maps as the trained models do."""

import numpy as np
import pytest

from extensions.data.reading.image_files import read_image
from inference.export.write_model import ExportOptions, export_model
from inference.model.checkpoints import load_checkpoint
from inference.model.metadata import ModelInfo
from inference.model.predictors import load_predictor

MODELS = {
    "Patchcore": {"coreset_sampling_ratio": 0.05, "num_neighbors": 3},
    "Padim": {"n_features": 10},
    "Stfpm": {},  # without a layout of its own for export
}


@pytest.mark.parametrize(("name", "pooling"), [("Patchcore", "max"), ("Padim", "top_7"), ("Stfpm", "top_2.5%")])
def test_scores_are_those_of_the_map_for_any_number_of_images(name, pooling, fit, tiny_root, tmp_path):
    checkpoint = fit(name, score_pooling=pooling, **MODELS[name])
    model, info = load_checkpoint(checkpoint)
    assert info.score_pooling == pooling
    files = sorted((tiny_root / "train/good").iterdir())
    options = ExportOptions(allow_difference=name == "Patchcore")  # whose bank holds the very patches
    agreement = export_model(model, info, tmp_path / "model", files=files, options=options)
    assert agreement.summary.largest_score_difference < 1e-4
    assert ModelInfo.read(tmp_path / "model/model.json").score_pooling == pooling
    images = [read_image(path) for path in sorted((tiny_root / "test").rglob("*.png"))][:3]
    trained = load_predictor(checkpoint).predict(images)
    n = {"max": 1, "top_7": 7, "top_2.5%": 57}[pooling]  # of 48 x 48 px
    for file in ("model.xml", "model.onnx"):
        for batch in (1, 3):
            found = load_predictor(tmp_path / "model" / file, batch=batch).predict(images)
            for one, expected in zip(found, trained, strict=True):
                highest = np.sort(one.anomaly_map, axis=None)[-n:]
                assert one.pred_score == pytest.approx(highest.mean(), rel=1e-5)
                assert one.pred_score == pytest.approx(expected.pred_score, rel=1e-4)


def test_int8_takes_its_score_from_its_own_map(fit, tiny_root, tmp_path):
    model, info = load_checkpoint(fit("Padim", score_pooling="top_2.5%", **MODELS["Padim"]))
    files = sorted((tiny_root / "train/good").iterdir())
    options = ExportOptions(precision="int8", allow_difference=True, measures_speed=False)
    export_model(model, info, tmp_path / "model", files=files, options=options)
    predictor = load_predictor(tmp_path / "model/model.xml")
    assert predictor.info.precision == "int8"
    for one in predictor.predict([read_image(path) for path in files[:3]]):
        assert one.pred_score == pytest.approx(np.sort(one.anomaly_map, axis=None)[-57:].mean(), rel=1e-5)


def test_a_name_that_no_version_knows_is_refused_when_a_model_is_read():
    with pytest.raises(ValueError, match="score_pooling"):
        ModelInfo(model="Padim", image_size=(48, 48), score_pooling="median")
