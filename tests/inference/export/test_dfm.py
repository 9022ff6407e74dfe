"""An exported DFM: any number of images at once, where anomalib's takes as many as it was traced with."""

import pytest

from extensions.data.reading.image_files import read_image
from inference.export.write_model import export_model
from inference.model.checkpoints import load_checkpoint
from inference.model.predictors import load_predictor


def test_scores_and_maps_are_the_trained_ones_for_any_number_of_images(fit, tiny_root, tmp_path):
    checkpoint = fit("Dfm", layers=["layer2"])
    model, info = load_checkpoint(checkpoint)
    export_model(model, info, tmp_path / "model", files=sorted((tiny_root / "train/good").iterdir()))
    images = [read_image(path) for path in sorted((tiny_root / "test").rglob("*.png"))][:3]
    trained = load_predictor(checkpoint).predict(images)
    for batch in (1, 3):
        found = load_predictor(tmp_path / "model/model.xml", batch=batch).predict(images)
        for one, expected in zip(found, trained, strict=True):
            assert one.pred_score == pytest.approx(expected.pred_score, rel=1e-4)
            assert one.anomaly_map == pytest.approx(expected.anomaly_map, rel=1e-3, abs=1e-5)
