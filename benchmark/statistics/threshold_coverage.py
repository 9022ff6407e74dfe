"""How often conformal thresholds and the unsure band keep their rates on new made-up images."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from benchmark.statistics.coverage import CoverageRow
from benchmark.statistics.requirement import Requirement
from benchmark.statistics.simulated_scores import SHAPES, Setting, draw
from benchmark.statistics.thresholds import fit_thresholds

NEW = 20
"""Test sets of new images a draw, whose errors are counted."""
RATES = (
    (Requirement(max_false_alarms=0.05), 20, 60),
    (Requirement(max_false_alarms=0.05), 40, 0),
    (Requirement(max_false_alarms=0.01), 100, 100),
    (Requirement(max_missed=0.1), 20, 10),
    (Requirement(max_missed=0.05), 20, 60),
    (Requirement(max_missed=0.05, max_false_alarms=0.1), 20, 60),
    (Requirement(max_missed=0.05, max_false_alarms=0.05), 100, 100),
)
"""What is required, and on how many good and defective images; so many support it."""


def threshold_rows(draws: int) -> Iterator[CoverageRow]:
    """Of conformal thresholds: the share of new images of a kind that are not wrong, the mean over draws.

    With both rates the verdict of an image between the two thresholds is that it is unsure, which is not wrong.
    """
    for requirement, n_good, n_defective in RATES:
        for shape in SHAPES[:3]:
            for auroc in (0.8, 0.95):
                setting = Setting(shape=shape, auroc=auroc, n_good=n_good, n_defective=n_defective)
                yield from _rows(requirement, setting, draws)


def _rows(requirement: Requirement, setting: Setting, draws: int) -> Iterator[CoverageRow]:
    new = Setting(shape=setting.shape, auroc=setting.auroc, n_good=NEW * 20, n_defective=NEW * 20)
    rng = np.random.default_rng(0)
    right = np.zeros((draws, 2))
    for place in range(draws):
        fitted = fit_thresholds(setting.labels, draw(setting, rng), requirement)
        if fitted.lower is None or fitted.upper is None:
            continue
        scores, labels = draw(new, rng), new.labels
        right[place] = (scores[labels == 0] < fitted.upper).mean(), (scores[labels == 1] >= fitted.lower).mean()
    kinds = (("false alarms", requirement.max_false_alarms), ("missed", requirement.max_missed))
    for column, (errors, rate) in enumerate(kinds):
        if rate is not None:
            yield CoverageRow(
                what=f"{'band' if requirement.has_band else 'threshold'}: at most {100 * rate:g} % {errors}",
                case=f"{setting.shape}, AUROC {setting.auroc}",
                n_good=setting.n_good,
                n_defective=setting.n_defective,
                truth=None,
                promised=1 - rate,
                coverage=float(right[:, column].mean()),
                below=math.nan,
                above=math.nan,
                mean_width=math.nan,
                draws=draws,
            )
