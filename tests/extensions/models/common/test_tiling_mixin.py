"""Every model trains on tiles and scores whole images by them, in whichever way it is asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anomalib.models import Padim as StockPadim
from lightning import seed_everything

import extensions
from extensions.models.common import tiling_mixin
from extensions.models.common.imaging_mixin import take_imaging
from extensions.models.common.tiled_scoring import raw_scores
from extensions.models.common.tiling_estimate import estimate
from extensions.transforms import Augmentation

TILING = {"tile": 64, "overlap": 16}
SETTINGS = {
    "Patchcore": {"coreset_sampling_ratio": 0.05, "num_neighbors": 3},
    "Padim": {"n_features": 20},
    "Stfpm": {},
    "Cflow": {"coupling_blocks": 2, "condition_vector": 16},
    "ContrastiveStfpm": {"projection_size": 8},
    "Cdo": {},
    "ReverseDistillation": {},
    "Fastflow": {"flow_steps": 2, "hidden_ratio": 0.25},
    "BackboneOcSvm": {"nu": 0.5},
    "RegAd": {},
    "ConvAutoencoder": {"latent_dim": 4},
    "AutoencoderOcSvm": {"latent_dim": 4, "nu": 0.5},
}


def data(root, **arguments):
    settings = {"tiling": TILING, "num_workers": 0, "train_batch_size": 4, "name": "strips"}
    return extensions.MVTecAD(root, "", **(settings | arguments))


def build(name: str, **init_args: object):
    settings = {"image_size": 64, "evaluator": False, "visualizer": False, **SETTINGS[name]}
    if "Autoencoder" not in name:
        settings |= {"backbone": "test_resnet", "pre_trained": False}
    seed_everything(0)
    return getattr(extensions, name)(**(settings | init_args))


def slow_loop(model, image: torch.Tensor) -> tuple[float, np.ndarray | None]:
    """Score a strip (3, 176, 64) tile by tile."""
    tops, ramp = (0, 48, 96, 112), np.minimum(1, np.minimum(np.arange(1, 65), np.arange(64, 0, -1)) / 17)
    scores, total, weight = [], np.zeros((176, 64)), np.zeros((176, 1))
    for top in tops:
        with torch.no_grad():
            found = model.model.eval()(model.pre_processor.transform(image[None, :, top : top + 64]))
        scores.append(float(found.pred_score))
        weight[top : top + 64, 0] += ramp
        if found.anomaly_map is not None:
            total[top : top + 64] += ramp[:, None] * found.anomaly_map[0, 0].numpy()
    return max(scores), None if found.anomaly_map is None else total / weight


@pytest.mark.parametrize("name", list(SETTINGS))
def test_predict_of_a_fitted_and_a_reloaded_model_is_that_of_a_slow_loop(name, strips, engine):
    datamodule, model = data(strips), build(name)
    trained = engine(limit_val_batches=1.0)
    trained.fit(model, datamodule=datamodule)
    reloaded = type(model).load_from_checkpoint(trained.best_model_path)
    assert reloaded.imaging == model.imaging == datamodule.imaging
    assert getattr(model.post_processor, "image_min", torch.tensor(0.0)).isfinite()  # whole images were validated on
    for one in (model, reloaded.eval()):
        one.post_processor = None
        expected = [slow_loop(one, item.image) for item in datamodule.test_data]
        for batch, (score, anomaly_map) in zip(engine().predict(one, datamodule=datamodule), expected, strict=True):
            assert float(batch.pred_score) == pytest.approx(score, abs=1e-4)
            assert tuple(batch.image.shape) == (1, 3, 176, 64)
            if anomaly_map is None:
                assert batch.anomaly_map is None
            else:
                np.testing.assert_allclose(batch.anomaly_map.numpy().squeeze(), anomaly_map, atol=1e-4)
        with torch.inference_mode():
            assert float(raw_scores(one, datamodule.test_data[0].image[None]).pred_score) == pytest.approx(
                expected[0][0], abs=1e-4
            )


@pytest.mark.parametrize("name", ["Stfpm", "Cflow", "Fastflow", "Cdo", "ContrastiveStfpm", "ConvAutoencoder"])
def test_the_loss_of_held_out_images_is_of_tiles(name, strips, engine):
    model, datamodule = build(name), data(strips, val_split_mode="from_train", val_split_ratio=0.25)
    one = engine(limit_val_batches=1.0)
    one.fit(model, datamodule=datamodule)
    assert len(datamodule.val_data) == 4
    if model.logs_val_loss if hasattr(model, "logs_val_loss") else False:
        assert one.trainer.callback_metrics["val_loss"].isfinite()
    assert engine().test(model, datamodule=datamodule) is not None


def test_a_checkpoint_finds_its_tiles_in_a_model_that_has_none_yet(strips, engine):
    trained, model, datamodule = engine(), build("Padim", post_processor=False), data(strips)
    trained.fit(model, datamodule=datamodule)
    other = build("Padim", post_processor=False)
    found = engine().predict(other, datamodule=datamodule, ckpt_path=trained.best_model_path)
    assert other.imaging.tiling == datamodule.tiling
    assert float(found[0].pred_score) == pytest.approx(slow_loop(other, datamodule.test_data[0].image)[0], abs=1e-4)


def test_tiles_of_another_size_than_the_network_s_are_resized_and_their_maps_back(strips, engine, caplog):
    model, datamodule = build("Padim", image_size=48, post_processor=False), data(strips)
    engine().fit(model, datamodule=datamodule)
    assert "each tile of 64 x 64 px is resized to 48 x 48 (image_size) for Padim" in caplog.text
    found = engine().predict(model, datamodule=datamodule)[0]
    assert found.anomaly_map.shape[-2:] == (176, 64)
    assert float(found.pred_score) == pytest.approx(slow_score(model, datamodule.test_data[0].image), abs=1e-4)


def slow_score(model, image: torch.Tensor) -> float:
    with torch.no_grad():
        tiles = [model.pre_processor.transform(image[None, :, top : top + 64]) for top in (0, 48, 96, 112)]
        return max(float(model.model.eval()(tile).pred_score) for tile in tiles)


def test_resized_images_have_maps_and_masks_of_that_size(strips, engine):
    model, datamodule = build("Padim", post_processor=False), data(strips, tiling={**TILING, "resize": [128, 64]})
    engine().fit(model, datamodule=datamodule)
    found = engine().predict(model, datamodule=datamodule)[0]
    assert found.image.shape[-2:] == found.anomaly_map.shape[-2:] == found.gt_mask.shape[-2:] == (128, 64)


def test_other_tiles_than_those_of_the_checkpoint_are_refused(strips, engine):
    model = build("Padim")
    engine().fit(model, datamodule=data(strips))
    with pytest.raises(ValueError, match="'strips' sets tiling otherwise than the data set that Padim was trained on"):
        engine().test(model, datamodule=data(strips, tiling={"tile": 64, "overlap": 8}))
    with pytest.raises(ValueError, match="Padim was trained on tiles of 64 x 64 px, overlap 16 x 16, and the data set"):
        engine().test(model, datamodule=data(strips, tiling=None))
    with pytest.raises(ValueError, match=r"'strips' sets tiling otherwise .*\(none of it set there\)"):
        engine().test(build("Padim"), datamodule=data(strips))


def test_models_that_do_not_know_tiles_are_refused(strips, engine):
    datamodule = data(strips)
    datamodule.setup()
    stock = StockPadim("resnet18", pre_trained=False, evaluator=False, visualizer=False)
    with pytest.raises(
        ValueError, match="Padim does not know tiling, which the data set 'strips' sets: choose a model"
    ):
        take_imaging(stock, datamodule)
    with pytest.raises(ValueError, match="Padim does not know tiling"):
        engine().fit(stock, datamodule=data(strips))


@pytest.mark.parametrize(
    ("init_args", "tile", "said"),
    [
        ({"center_crop": 48}, 64, "Padim keeps the center of each tile .*leave center_crop out"),
        ({"pre_processor": False, "image_size": 256}, 16, "Padim would see tiles of 16 x 16 px, and blurs"),
    ],
)
def test_tiles_that_a_model_cannot_see_whole_are_refused(init_args, tile, said, strips):
    with pytest.raises(ValueError, match=said):
        take_imaging(build("Padim", **init_args), data(strips, tiling={"tile": tile, "overlap": 4}))


def test_what_cannot_fit_is_refused_before_the_fit(strips, engine, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(tiling_mixin, "room", lambda: (10**6, 10**12))
        with pytest.raises(
            ValueError, match=r"16 tiles need about .* of memory, and 1 MB are free: take fewer training"
        ):
            engine().fit(build("Padim"), datamodule=data(strips))
    assert "16 from 4 training images, 16 to test; needs about" in capsys.readouterr().out
    monkeypatch.setattr(tiling_mixin, "room", lambda: (10**12, 10**4))
    with pytest.raises(
        ValueError, match=r"16 tiles need about .* of disk, and 0 MB are free for the cache: set \$WORK"
    ):
        engine().fit(build("Padim"), datamodule=data(strips))


def test_estimate_counts_what_a_model_keeps(strips):
    datamodule = data(strips)
    datamodule.setup()
    costs = {}
    for name in ("Padim", "Patchcore", "Stfpm"):
        model = build(name, post_processor=False)
        take_imaging(model, datamodule)
        costs[name] = estimate(model, datamodule, epochs=10)
    assert {(one.n_images, one.n_tiles, one.n_test_tiles) for one in costs.values()} == {(4, 16, 16)}
    positions = 16 * 16
    assert costs["Padim"].memory - costs["Stfpm"].memory > -costs["Stfpm"].memory
    assert costs["Padim"].memory >= 4 * positions * 20 * (2 * 16 + 20)
    assert costs["Patchcore"].memory >= 16 * 8 * 8 * (128 + 256) * 4
    assert costs["Stfpm"].seconds > costs["Padim"].seconds
    assert costs["Stfpm"].disk == 4 * 176 * 64 * 3


def test_test_images_in_tiles_are_not_augmented(strips, engine):
    with pytest.raises(ValueError, match="Augmentation: where is 'tta' and the data set sets tiling"):
        engine(callbacks=[Augmentation("flip", where="tta")]).fit(build("Padim"), datamodule=data(strips))
    engine(callbacks=[Augmentation("flip")]).fit(build("Padim"), datamodule=data(strips))
