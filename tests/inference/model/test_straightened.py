"""A model of aligned images: in torch, from its checkpoint and exported it says the same of parts that lie turned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from anomalib.engine import Engine
from lightning import seed_everything

import extensions
from extensions.data import read_image
from extensions.data.imaging import Imaging
from extensions.models.common.imaging_mixin import take_imaging
from inference.export.write_model import ExportOptions, export_model
from inference.measure.agreement import engine_predictions
from inference.model.checkpoints import load_checkpoint
from inference.model.metadata import ModelInfo
from inference.model.predictors import TorchPredictor, load_predictor
from inference.predict.pipeline import predict
from inference.predict.sources import open_source
from inference.serve.server import public_info
from tests.turned_plates import moved, plate, save, write_plates


def data(root, **arguments):
    return extensions.MVTecAD(root, "", **({"name": "plates", "num_workers": 0, "align": True} | arguments))


def build():
    seed_everything(0)
    return extensions.Padim(
        backbone="test_resnet", pre_trained=False, image_size=96, n_features=12, evaluator=False, visualizer=False
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Root of the images, a checkpoint, what `Engine.predict` says of the test images, and how they were read."""
    root = write_plates(tmp_path_factory.mktemp("plates"))
    datamodule, model = data(root), build()
    engine = Engine(default_root_dir=root / "engine", logger=False, enable_progress_bar=False, accelerator="cpu")
    engine.fit(model, datamodule=datamodule)
    path = root / "model.ckpt"
    engine.trainer.save_checkpoint(path)
    files = datamodule.test_data.samples.image_path.map(Path).tolist()
    found = engine_predictions(model, files, root / "engine")
    said = {str(file): one for file, one in zip(files, found, strict=True)}
    return root, path, said, datamodule.imaging


def test_the_checkpoint_has_the_template_and_predicts_the_same(trained):
    _root, path, said, imaging = trained
    model, info = load_checkpoint(path)
    assert model.imaging == imaging
    assert info.imaging.alignment == imaging.alignment
    predictor = TorchPredictor(model, info)
    for file, (score, expected) in said.items():
        found = predictor.predict([read_image(file)])[0]
        assert found.pred_score == pytest.approx(score, rel=1e-4)
        assert found.aligned
        np.testing.assert_allclose(found.anomaly_map, expected, atol=1e-3 * np.abs(expected).max())


def test_the_defect_is_found_where_it_lies_on_the_image_as_it_was_taken(trained):
    from extensions.data.reading.image_files import read_mask

    _root, _, said, _ = trained
    for file, (_, heat) in said.items():
        if "spot" in file:
            mask = read_mask(str(file).replace("test/spot", "ground_truth/spot").replace(".png", "_mask.png"))
            assert heat[mask > 0].mean() > 2 * np.median(heat)


def test_the_exported_network_agrees_and_tells_its_template(trained, tmp_path, caplog):
    root, path, said, imaging = trained
    model, info = load_checkpoint(path)
    files = sorted((root / "train/good").glob("*.png"))
    agreement = export_model(model, info, tmp_path / "out", files=files, options=ExportOptions())
    assert agreement.agrees
    stored = json.loads((tmp_path / "out/model.json").read_text())
    assert ModelInfo(**{name: value for name, value in stored.items() if name != "format"}).imaging == imaging
    predictor = load_predictor(tmp_path / "out/model.xml")
    for file, (score, expected) in said.items():
        found = predictor.predict([read_image(file)])[0]
        assert found.pred_score == pytest.approx(score, rel=1e-3)
        np.testing.assert_allclose(found.anomaly_map, expected, atol=5e-3 * np.abs(expected).max())
    assert public_info(predictor.info)["alignment"] == {"size": [256, 256], "least": imaging.alignment.least}
    good = moved(plate(np.random.default_rng(7)), 170, (3, -2))
    bad = np.where(np.indices(good.shape[:2]).sum(axis=0)[..., None] % 8 < 4, 255 - good, good)
    assert 3 * predictor.predict([good])[0].pred_score < predictor.predict([bad])[0].pred_score
    folder = tmp_path / "line"
    save(folder / "plate.png", moved(plate(np.random.default_rng(8)), -40, (0, 0)))
    save(folder / "noise.png", np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8))
    save(folder / "wide.png", np.zeros((96, 192, 3), np.uint8))
    report = predict(predictor, open_source(str(folder)), tmp_path / "predictions", overlays=True, progress=False)
    assert (report.n_done, report.n_failed) == (2, 1)
    assert "1 of 2 images could not be aligned" in " ".join(report.remarks)
    assert "noise.png" in " ".join(report.remarks)
    assert "one aspect ratio" in (tmp_path / "predictions/predictions.csv").read_text()


def test_a_model_of_upright_images_refuses_a_data_set_that_aligns(trained):
    root, path, *_ = trained
    model, _ = load_checkpoint(path)
    with pytest.raises(ValueError, match=r"sets none of it|trained on"):
        take_imaging(build(), data(root), is_training=False)
    take_imaging(model, data(root), is_training=False)
    with pytest.raises(ValueError, match="alignment otherwise"):
        take_imaging(model, data(root, align={"n_images": 2}), is_training=False)


def test_a_center_crop_is_refused(trained):
    _root, _, _, imaging = trained
    model = extensions.Padim(
        backbone="test_resnet", pre_trained=False, image_size=96, center_crop=80, evaluator=False, visualizer=False
    )
    with pytest.raises(ValueError, match="center_crop or align"):
        model.set_imaging(imaging)
    model.set_imaging(Imaging())
