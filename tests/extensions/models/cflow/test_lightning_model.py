"""CFlow: anomalib's training step, whatever the batch sizes, and scores of each image by itself."""

import anomalib.models
import pytest
import torch
from anomalib.data import ImageBatch
from lightning import seed_everything

from extensions import Cflow
from extensions.models.cflow.torch_model import shuffled_batches
from extensions.models.common.lr_schedule_mixin import cosine_lr

SMALL = {"pre_trained": False, "coupling_blocks": 2, "condition_vector": 16}


def train_one_step(build, bare, **init_args):
    """One training step outside a trainer; the model and what it logged."""
    seed_everything(1)
    model = build("test_resnet", ["layer2", "layer3"], **SMALL, **bare, **init_args)
    optimizer = model.configure_optimizers()
    logged = {}
    model.optimizers = lambda: optimizer
    model.manual_backward = lambda loss: loss.backward()
    model.log = lambda name, value, **_: logged.update({name: float(value)})
    seed_everything(2)
    model.training_step(ImageBatch(image=torch.rand(3, 3, 64, 64)))
    return model, logged


def test_step_changes_the_flows_as_anomalibs_does_and_logs_the_mean(bare):
    (ours, logged), (stock, stock_logged) = (
        train_one_step(build, bare, fiber_batch_size=20) for build in (Cflow, anomalib.models.Cflow)
    )
    for parameter, expected in zip(ours.model.decoders.parameters(), stock.model.decoders.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, atol=1e-6, rtol=1e-5)
    n_fibers = 3 * (8 * 8 + 4 * 4)
    assert logged["train_loss"] == pytest.approx(stock_logged["train_loss"] / n_fibers, rel=1e-4)


def test_fewer_fibers_than_the_batch_size_still_train(bare):
    _, logged = train_one_step(Cflow, bare, fiber_batch_size=100_000)
    assert 0 < logged["train_loss"] < 10


def test_batches_hold_every_fiber_once_and_the_remainder_last():
    batches = list(shuffled_batches(70, 16))
    assert [len(batch) for batch in batches] == [16, 16, 16, 22]
    assert sorted(torch.cat(batches).tolist()) == list(range(70))


def test_map_equals_anomalibs_up_to_a_constant_when_scaled_alike(bare):
    ours, _ = train_one_step(Cflow, bare, fiber_batch_size=20)
    stock, _ = train_one_step(anomalib.models.Cflow, bare, fiber_batch_size=20)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = ours.model.encoder(images)
        maxima = [ours.model._log_prob_map(index, feature).max() for index, feature in enumerate(features.values())]
        ours.model.max_log_prob = torch.stack(maxima)
        difference = ours.model.eval()(images).anomaly_map.squeeze(1) - stock.model.eval()(images).anomaly_map
    assert difference.std() < 1e-4


@pytest.mark.parametrize("init_args", [{"fiber_batch_size": 0}, {"condition_vector": 30}, {"lr_schedule": "step"}])
def test_settings_that_cannot_work_are_refused(init_args):
    with pytest.raises(ValueError, match=next(iter(init_args))):
        Cflow(pre_trained=False, **init_args)


def test_cosine_schedule_falls_from_the_rate_given_to_almost_none(bare, engine, tiny_folder):
    rates = [cosine_lr(0.1, epoch=epoch, n_epochs=10) for epoch in range(11)]
    assert rates == sorted(rates, reverse=True)
    assert (rates[0], rates[10]) == pytest.approx((0.1, 0.0001))
    with pytest.raises(ValueError, match="max_epochs"):
        cosine_lr(0.1, epoch=0, n_epochs=-1)

    model = Cflow("test_resnet", ["layer3"], **SMALL, **bare, image_size=64, lr=0.1, lr_schedule="cosine")
    trained = engine(max_epochs=2)
    trained.fit(model, datamodule=tiny_folder())
    assert model.optimizers().param_groups[0]["lr"] == pytest.approx(cosine_lr(0.1, epoch=1, n_epochs=2))
