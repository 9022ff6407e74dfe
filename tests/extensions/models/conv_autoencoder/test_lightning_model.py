"""ConvAutoencoder: its arithmetic, the best epoch kept, what a loss that is no number does, the threshold, export."""

import logging

import numpy as np
import pytest
import torch
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback

from extensions import ConvAutoencoder, Folder
from extensions.models.common.nan_recovery_mixin import MAX_REWINDS
from extensions.models.conv_autoencoder.loss import reconstruction_loss
from extensions.runtime.openvino_core import openvino_core


@pytest.fixture
def build(bare):
    def build_one(**arguments):
        seed_everything(0)
        return ConvAutoencoder(**{"latent_dim": 4, "image_size": 64, **bare, **arguments})

    return build_one


@pytest.fixture
def held_out(tiny_root):
    """Our Folder with a quarter of its training images held out."""
    return lambda **arguments: Folder(
        **{
            "name": "tiny", "root": tiny_root, "normal_dir": "train/good", "normal_test_dir": "test/good",
            "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "train_batch_size": 3, "eval_batch_size": 4,
            "num_workers": 0, "val_split_mode": "from_train", "val_split_ratio": 0.25, **arguments,
        }
    )  # fmt: skip


class Recorder(Callback):
    """Losses and learning rate of each epoch, and the network it left."""

    def __init__(self) -> None:
        self.val_losses, self.rates, self.states = [], [], []

    def on_train_batch_start(self, trainer, *_) -> None:
        self.rates[trainer.current_epoch :] = [trainer.optimizers[0].param_groups[0]["lr"]]

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        self.val_losses.append(float(trainer.callback_metrics.get("val_loss", np.nan)))
        self.states.append({key: tensor.clone() for key, tensor in pl_module.model.state_dict().items()})


class Spoil(Callback):
    """Makes a weight infinite after some steps, as a learning rate that is too large does."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        if trainer.global_step in self.steps:
            with torch.no_grad():
                next(pl_module.model.parameters()).fill_(float("inf"))


def test_score_is_the_mean_squared_error_and_the_map_its_blurred_pixels(build, images):
    model = build()
    again = model.reconstruct(images)
    assert 0 <= float(again.min()) <= float(again.max()) <= 1
    with torch.no_grad():
        found = model.model.eval()(images)
    expected = [np.mean((a - b) ** 2) for a, b in zip(again.numpy(), images.numpy(), strict=True)]
    np.testing.assert_allclose(found.pred_score, expected, rtol=1e-5)
    inner = found.anomaly_map[:, 0, 20:-20, 20:-20]
    blurred = model.model.blur(((again - images) ** 2).mean(dim=1, keepdim=True))[:, 0, 20:-20, 20:-20]
    torch.testing.assert_close(inner, blurred)


def test_layers_halve_the_image_five_times_and_double_it_again(build):
    model = build(image_size=(64, 96), latent_dim=7).model
    convolutions = [m for m in model.encoder if isinstance(m, torch.nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [8, 16, 32, 64, 128]
    assert model.encode(torch.zeros(2, 3, 64, 96)).shape == (2, 7)
    assert model.train()(torch.zeros(2, 3, 64, 96)).shape == (2, 3, 64, 96)


def test_sizes_that_do_not_fit_are_one_clear_error(build):
    with pytest.raises(ValueError, match="image_size is 100 x 64 px; expected multiples of 32, such as 96 x 64"):
        build(image_size=(100, 64))
    with pytest.raises(ValueError, match="center_crop is 60 x 60 px"):
        build(image_size=100, center_crop=60)
    with pytest.raises(ValueError, match="got images of 96 x 96 px, expected 64 x 64"):
        build(pre_processor=False)(torch.zeros(1, 3, 96, 96))
    with pytest.raises(ValueError, match="loss is 'l1'"):
        build(loss="l1")


def test_ssim_loss_is_0_for_equal_images_and_grows_with_noise(images):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    losses = [float(reconstruction_loss("ssim", images + a * noise, images)) for a in (0, 0.05, 0.2)]
    assert losses[0] == pytest.approx(0, abs=1e-5)
    assert losses[0] < losses[1] < losses[2] <= 2


def test_training_learns_its_rate_falls_to_nothing_and_the_best_epoch_is_kept(build, held_out, engine):
    model, recorder = build(lr=0.05), Recorder()
    trained = engine(max_epochs=6, callbacks=[recorder], limit_val_batches=1.0)
    trained.fit(model, datamodule=held_out())
    assert min(recorder.val_losses) < 0.5 * recorder.val_losses[0]
    expected = [0.05 * (1 + np.cos(np.pi * epoch / 6)) / 2 for epoch in range(6)]
    np.testing.assert_allclose(recorder.rates, expected, rtol=1e-6)
    best = recorder.states[int(np.argmin(recorder.val_losses))]
    for key, tensor in best.items():
        assert torch.equal(model.model.state_dict()[key], tensor), key
    stored = torch.load(trained.best_model_path, weights_only=True)["state_dict"]
    assert torch.equal(stored["model.encoder.0.weight"], best["encoder.0.weight"])


def test_a_loss_that_is_no_number_rewinds_to_the_best_epoch_and_says_so(build, held_out, engine, caplog):
    model, recorder = build(lr=0.01), Recorder()
    with caplog.at_level(logging.WARNING, logger="extensions"):
        engine(max_epochs=4, callbacks=[Spoil(5), recorder], limit_val_batches=1.0).fit(model, datamodule=held_out())
    assert "the loss is not finite in epoch 2" in caplog.text
    assert "back to the state with val_loss" in caplog.text
    assert (model.n_rewinds, model.gave_up) == (1, False)
    assert recorder.rates[3] == pytest.approx(0.1 * 0.01 * (1 + np.cos(3 * np.pi / 4)) / 2)
    assert all(p.isfinite().all() for p in model.parameters())
    assert np.isfinite(recorder.val_losses).all()


def test_training_that_keeps_failing_ends_with_the_last_finite_state(build, tiny_folder, engine, caplog):
    model = build()
    with caplog.at_level(logging.WARNING, logger="extensions"):
        trained = engine(max_epochs=20, callbacks=[Spoil(*range(3, 100))])
        trained.fit(model, datamodule=tiny_folder())
    assert (model.n_rewinds, model.gave_up) == (MAX_REWINDS, True)
    assert trained.trainer.current_epoch < 10
    assert "training ends" in caplog.text
    assert all(p.isfinite().all() for p in model.parameters())


def test_threshold_without_labels_is_the_80_percent_quantile_of_training_scores(
    build, bare, tiny_folder, tiny_root, engine, raw_scores
):
    from PIL import Image

    model = build()
    assert model.label_free_threshold is None
    trained = engine()
    trained.fit(model, datamodule=tiny_folder())
    arrays = [np.asarray(Image.open(path)) for path in sorted((tiny_root / "train").rglob("*.png"))]
    scores = raw_scores(model, torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255).pred_score
    again = ConvAutoencoder.load_from_checkpoint(trained.best_model_path, **bare)
    for one in (model, again):
        value, source = one.label_free_threshold
        assert value == pytest.approx(np.quantile(scores, 0.8), rel=1e-5)
        assert "80%" in source


def test_a_second_fit_starts_from_a_new_network_and_one_from_a_checkpoint_goes_on(build, bare, tiny_folder, engine):
    model, recorder = build(lr=1e-9), Recorder()
    first = engine()
    first.fit(model, datamodule=tiny_folder())
    weight = model.model.encoder[0].weight.clone()
    again = ConvAutoencoder.load_from_checkpoint(first.best_model_path, lr=1e-9, **bare)
    engine(callbacks=[recorder]).fit(again, datamodule=tiny_folder())
    torch.testing.assert_close(recorder.states[0]["encoder.0.weight"], weight, atol=1e-6, rtol=0)
    engine(callbacks=[recorder]).fit(model, datamodule=tiny_folder())
    assert not torch.allclose(recorder.states[1]["encoder.0.weight"], weight, atol=1e-3)


def test_a_run_without_a_number_of_epochs_is_refused(build, tiny_folder, engine):
    with pytest.raises(ValueError, match="expected a number of epochs"):
        engine(max_epochs=-1, max_steps=2).fit(build(), datamodule=tiny_folder())


def test_openvino_scores_match_torch_for_any_number_of_images(build, images, raw_scores, tmp_path):
    model = build(image_size=(64, 64))
    model.model.eval()
    xml = model.to_openvino(tmp_path, onnx_kwargs={"opset_version": 18})
    compiled = openvino_core().compile_model(xml, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = raw_scores(model, images)
    for n in (1, 3, 8):
        found = compiled(images[:n].numpy())
        np.testing.assert_allclose(found["pred_score"], expected.pred_score[:n], atol=1e-5)
        np.testing.assert_allclose(found["anomaly_map"], expected.anomaly_map[:n], atol=1e-5)
