"""Rows of training by gradient: the losses of both sides are equal, and what is trained takes a part of the time."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmark.speed import ROWS, Settings, all_rows
from benchmark.speed.bench import Bench
from benchmark.speed.timing import Measurement
from benchmark.speed.trained_part import TrainedPart
from benchmark.speed.training import _largest, _largest_part
from extensions import Folder

TINY = Settings(
    n_workers=0, rounds=1, training_size=64, n_epochs=2, fiber_batch_size=16, n_train=8, n_test=4, large_side=96
)
OF_TRAINING = [name for name in ROWS if name.endswith("_training")]


@pytest.fixture(scope="module")
def bench(tiny_root, tmp_path_factory) -> Bench:
    source = Folder(
        name="tiny", root=tiny_root, normal_dir="train/good", normal_test_dir="test/good", abnormal_dir="test/bad",
        mask_dir="mask/bad", num_workers=0,
    )  # fmt: skip
    return Bench(TINY, source, tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize("name", OF_TRAINING)
def test_every_step_has_the_loss_that_it_has_in_the_reference(bench, name) -> None:
    record = all_rows.measure(name, bench)
    assert record["error"] is None, record.get("traceback")
    assert record["agree"]
    assert 0 < record["limit_seconds"] < record["ours_seconds"]


def test_training_of_enlarged_images_is_measured_too() -> None:
    assert [f"{name}_large" for name in OF_TRAINING] == [name for name in ROWS if name.endswith("_training_large")]


def test_a_fit_at_its_limit_needs_no_ratio() -> None:
    row = Measurement("work", "data", 1.2, 1.0, bound=2, limit="forward", limit_seconds=0.9, limit_bound=1.18)
    assert row.record()["reached"]
    assert not replace(row, limit_seconds=0.5).record()["reached"]
    assert not replace(row, limit_bound=None).record()["reached"]


def test_time_of_nested_modules_counts_once_and_that_of_frozen_ones_does_not() -> None:
    class Fitted:
        model = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 2).requires_grad_(False))

    part = TrainedPart()
    part.on_fit_start(None, Fitted)
    part._handles.append(Fitted.model[0][0].register_forward_hook(lambda *_: depths.append(part._depth)))
    depths: list[int] = []
    Fitted.model[1](torch.zeros(1, 2))
    assert part.seconds == 0
    Fitted.model(torch.zeros(1, 2))
    assert depths == [2]  # the last hook of the innermost: two enclosing ones are left
    assert part.seconds > 0
    part.on_fit_end()


def test_only_the_first_losses_must_agree_for_rounding_grows() -> None:
    stock = [2.0, 1.0, 0.5, 1e-6]
    assert _largest_part([2.0, 1.01, 0.5, 1e-3], stock) == pytest.approx(0.01)
    assert _largest([2.0, 1.01, 0.5, 1e-3], stock) == pytest.approx(0.005)
    assert _largest_part(stock[:3], stock) == _largest(stock[:3], stock) == math.inf
