"""How often intervals and tests keep their promise on made-up scores of known AUROC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.metrics.image import AT_FPR, AT_RECALL
from benchmark.statistics.bootstrap import weighted_metrics
from benchmark.statistics.comparison import compare
from benchmark.statistics.intervals import auroc_interval, metric_intervals
from benchmark.statistics.rates import CONFIDENCE, Interval
from benchmark.statistics.simulated_scores import SHAPES, Pair, Setting, draw, draw_pair

SIZES = ((20, 60), (100, 10), (100, 100), (5, 20))
"""Good and defective images; rules were chosen on the first and, among some, on 100 and 10; the others are unseen."""


@dataclass(frozen=True, kw_only=True)
class CoverageRow:
    """One row of the table.

    Attributes:
        what: That is promised, such as ``interval of image_AUROC``.
        case: The scores.
        n_good: Images in a draw.
        n_defective: Images in a draw.
        truth: The true value; blank where it differs from draw to draw.
        promised: Share of draws in which the truth is held; of thresholds one less the rate.
        coverage: Share in which it was; of thresholds the mean share of new images that are not called wrongly.
        below: Share in which the truth lay below the interval; blank where there is none.
        above: Likewise above.
        mean_width: Of the intervals.
        draws: How many.
    """

    what: str
    case: str
    n_good: int
    n_defective: int
    truth: float | None
    promised: float
    coverage: float
    below: float
    above: float
    mean_width: float
    draws: int


def auroc_rows(draws: int) -> Iterator[CoverageRow]:
    """Of the interval of AUROC."""
    for n_good, n_defective in SIZES:
        for shape in SHAPES:
            for auroc in (0.8, 0.95, 0.99):
                setting = Setting(shape=shape, auroc=auroc, n_good=n_good, n_defective=n_defective)
                rng = np.random.default_rng(0)
                ends = [auroc_interval([setting.sample(draw(setting, rng))]) for _ in range(draws)]
                yield _row("interval of image_AUROC", f"{shape}, AUROC {auroc}", setting, truth=auroc, ends=ends)


def metric_rows(draws: int) -> Iterator[CoverageRow]:
    """Of the intervals of the other image metrics; the truth is that of very many images with as many to each class.

    Of the cross-fitted F1, whose threshold is fitted on few images, it is the mean over draws.
    """
    for shape in SHAPES[:3]:
        for auroc, n_good, n_defective in ((0.8, 20, 60), (0.95, 20, 60), (0.95, 100, 100)):
            setting = Setting(shape=shape, auroc=auroc, n_good=n_good, n_defective=n_defective)
            rng = np.random.default_rng(0)
            truth = _many_images(setting, rng)
            samples = [setting.sample(draw(setting, rng)) for _ in range(max(draws // 5, 20))]
            fitted = [_values(setting, sample.scores[0], sample.folds)["image_F1Score"] for sample in samples]
            truth["image_F1Score"] = float(np.nanmean(fitted))
            intervals = [metric_intervals([sample]) for sample in samples]
            for name in ("image_AveragePrecision", "image_F1Score", "image_F1Max", *AT_FPR, *AT_RECALL):
                ends = [found[name] for found in intervals if name in found]
                case = f"{shape}, AUROC {auroc}"
                yield _row(f"interval of {name}", case, setting, truth=truth[name], ends=ends)


PAIRS = (
    ("no difference, one seed", Pair(aurocs=(0.9, 0.9), n_good=20, n_defective=60)),
    ("no difference, one seed", Pair(aurocs=(0.9, 0.9), n_good=100, n_defective=100)),
    ("a difference, one seed", Pair(aurocs=(0.95, 0.85), n_good=20, n_defective=60)),
    ("no difference, 3 seeds alike", Pair(aurocs=(0.9, 0.9), n_good=20, n_defective=60, n_seeds=3, noise=0.1)),
    (
        "no difference, 3 seeds that vary",
        Pair(aurocs=(0.9, 0.9), n_good=20, n_defective=60, n_seeds=3, noise=0.1, seed_spread=0.3),
    ),
    (
        "a difference, 3 seeds that vary",
        Pair(aurocs=(0.95, 0.85), n_good=100, n_defective=100, n_seeds=3, noise=0.1, seed_spread=0.3),
    ),
    (
        "no difference, one seed of those that vary (not promised)",
        Pair(aurocs=(0.9, 0.9), n_good=100, n_defective=100, noise=0.1, seed_spread=0.3),
    ),
)


def difference_rows(draws: int) -> Iterator[CoverageRow]:
    """Of the interval of a paired difference; without a difference 1 - coverage is how often one is seen wrongly."""
    for metric in ("image_AUROC", "image_AveragePrecision"):
        for case, pair in PAIRS:
            if metric != "image_AUROC" and pair.aurocs[0] != pair.aurocs[1]:
                continue  # the true difference is known of AUROC alone
            rng = np.random.default_rng(0)
            ends = []
            for _ in range(draws if metric == "image_AUROC" else max(draws // 5, 20)):
                first, second = draw_pair(pair, rng)
                found = compare([first], [second], metric=metric)
                ends.append((found.low, found.high))
            truth = pair.aurocs[0] - pair.aurocs[1]
            yield _row(f"difference of {metric}", case, pair, truth=truth, ends=ends)


def _row(what: str, case: str, of: Setting | Pair, *, truth: float, ends: Sequence[Interval]) -> CoverageRow:
    low, high = np.asarray(ends).T
    below, above = float(np.mean(truth < low - 1e-9)), float(np.mean(truth > high + 1e-9))
    return CoverageRow(
        what=what,
        case=case,
        n_good=of.n_good,
        n_defective=of.n_defective,
        truth=truth,
        promised=CONFIDENCE,
        coverage=1 - below - above,
        below=below,
        above=above,
        mean_width=float(np.mean(high - low)),
        draws=len(low),
    )


def _many_images(setting: Setting, rng: np.random.Generator) -> dict[str, float]:
    times = 1000
    many = Setting(
        shape=setting.shape,
        auroc=setting.auroc,
        n_good=times * setting.n_good,
        n_defective=times * setting.n_defective,
    )
    scores = draw(many, rng)
    return _values(many, scores, np.arange(len(scores)) % 2)


def _values(setting: Setting, scores: np.ndarray, folds: np.ndarray) -> dict[str, float]:
    once = np.ones((1, len(scores)), np.int32)
    return {name: float(values[0]) for name, values in weighted_metrics(setting.labels, scores, folds, once).items()}
