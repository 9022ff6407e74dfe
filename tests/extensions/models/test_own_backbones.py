"""Detectors on our own architectures, with weights from a file."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from extensions import Padim, Patchcore
from extensions.backbones import register

LAYERS = {"resnet18_cbam": ["layer1", "layer2"], "unet_resnet18": ["up3", "up2"]}


@pytest.mark.parametrize("backbone", list(LAYERS))
@pytest.mark.parametrize("model", [Padim, Patchcore])
def test_detector_fits_and_reloads(
    model, backbone, bare, engine, tiny_folder, images, raw_scores, tmp_path, monkeypatch
):
    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(tmp_path))
    register()
    torch.manual_seed(0)
    save_file(timm.create_model(backbone).state_dict(), tmp_path / "own.safetensors")
    settings = {"n_features": 20} if model is Padim else {"coreset_sampling_ratio": 0.05, "num_neighbors": 3}
    detector = model(backbone, LAYERS[backbone], weights="own.safetensors", image_size=64, **settings, **bare)
    trained = engine()
    trained.fit(detector, datamodule=tiny_folder())
    scores = raw_scores(detector, images)
    assert scores.anomaly_map.shape == (8, 1, 64, 64)
    assert scores.pred_score.isfinite().all()
    assert scores.pred_score.unique().numel() == 8
    again = model.load_from_checkpoint(trained.best_model_path, **bare)
    torch.testing.assert_close(raw_scores(again, images).pred_score, scores.pred_score)
