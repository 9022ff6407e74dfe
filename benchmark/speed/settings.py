"""What the rows of the speed table measure: sizes, settings, and how often."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Settings:
    """Parameters of all rows; every one of them is part of a row's key.

    Args:
        backbone: timm name; its weights are looked for as everywhere.
        pre_trained: False leaves the backbone random, equal on both sides.
        image_size: Height and width in px that images are resized to.
        large_side: Height and width in px of the enlarged copy that the decode rows read.
        n_train: Training images at most; None for all.
        n_test: Test images at most; None for all.
        n_workers: Processes that read images, on both sides.
        rounds: How often each side is measured at most; medians are given.
        patience: No further round is begun when stock would have taken more than this, in s.
        n_centers: Centers that stock's sampler selects where all would take longer than `patience`; its time for all
            is extrapolated, since every center costs it the same. None selects all, however long that takes.
        ratio: Coreset ratio of the fit, prediction and growth rows.
        large_ratio: Coreset ratio of the large coreset row.
        n_features: Of the grid's PaDiM models; the last is the slowest.
        num_neighbors: Of the grid's PatchCore models; the last is the slowest.
        ratios: Coreset ratios of the grid's PatchCore models; the last is the slowest.
        n_maps: Anomaly maps of the metrics row.
        map_side: Height and width of a map.
        n_many_maps: Maps whose metrics are computed once more, for the memory they need.
        bank_size: Patches in the memory bank of the growth rows.
        training_size: Height and width in px of the images in the rows of training by gradient.
        n_epochs: Of these rows.
        fiber_batch_size: Of CFlow there; anomalib's default.
    """

    backbone: str = "tf_efficientnet_lite0"
    pre_trained: bool = True
    image_size: int = 224
    large_side: int = 900
    n_train: int | None = None
    n_test: int | None = None
    n_workers: int = 2
    rounds: int = 3
    patience: float = 180.0
    n_centers: int | None = 100
    ratio: float = 0.01
    large_ratio: float = 0.1
    n_features: tuple[int, ...] = (25, 50, 75, 100)
    num_neighbors: tuple[int, ...] = (1, 3, 5, 9)
    ratios: tuple[float, ...] = (0.005, 0.01)
    n_maps: int = 1000
    map_side: int = 256
    n_many_maps: int = 10_000
    bank_size: int = 400
    training_size: int = 256
    n_epochs: int = 3
    fiber_batch_size: int = 64


SMALL = Settings(
    n_train=24, n_test=12, large_side=450, rounds=1, n_centers=10, ratio=0.02, ratios=(0.01, 0.02), n_maps=20,
    n_many_maps=40, bank_size=100, training_size=128, n_epochs=1,
)  # fmt: skip
"""Shows within minutes that every row runs; its ratios mean nothing."""


def asked_settings() -> Settings:
    """The settings that SPEED in the environment asks for: nothing, `full` or `small`.

    Raises:
        ValueError: It says something else.
    """
    value = os.environ.get("SPEED", "")
    known = {"": Settings(), "full": replace(Settings(), n_centers=None), "small": SMALL}
    if value not in known:
        msg = f"SPEED is {value!r} in the environment; expected 'full', 'small' or nothing."
        raise ValueError(msg)
    return known[value]
