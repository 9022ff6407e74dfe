"""Scores of made-up detectors whose AUROC is known, to see whether intervals keep their promise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmark.metrics.folds import stratified_folds
from benchmark.statistics.sample import Sample

SHAPES = ("normal", "skewed", "tied", "wide", "outliers")
"""Both classes normal; both exponential with a long upper tail; normal, rounded to whole numbers; normal, the defective
ones spread 2.5 times as wide; exponential with a long lower tail, so that good scores reach far down, few high up."""
_WIDE = 2.5


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is drawn.

    Attributes:
        shape: One of ``SHAPES``.
        auroc: The true one, from 0.5 to below 1.
        n_good: Images.
        n_defective: Images.
    """

    shape: str
    auroc: float
    n_good: int
    n_defective: int

    @property
    def labels(self) -> np.ndarray:
        """``(N,)``, the good ones first."""
        return np.repeat([0, 1], [self.n_good, self.n_defective])

    def sample(self, scores: np.ndarray) -> Sample:
        """A sample of one seed's ``(N,)`` or several seeds' ``(S, N)`` scores."""
        folds, ids = _folds(self.n_good, self.n_defective)
        return Sample(labels=self.labels, scores=np.atleast_2d(scores), folds=folds, ids=ids)


@lru_cache
def _folds(n_good: int, n_defective: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Folds and names of that many images."""
    ids = tuple(f"{i:05d}" for i in range(n_good + n_defective))
    return stratified_folds(np.repeat([0, 1], [n_good, n_defective]), seed=0, ids=ids), ids


def draw(setting: Setting, rng: np.random.Generator) -> np.ndarray:
    """Scores of one test set, ``(N,)``, higher is more anomalous."""
    from scipy.stats import norm

    odds = setting.auroc / (1 - setting.auroc)
    n_good, n_defective = setting.n_good, setting.n_defective
    if setting.shape == "skewed":
        return np.append(rng.exponential(size=n_good), odds * rng.exponential(size=n_defective))
    if setting.shape == "outliers":
        return np.append(-rng.exponential(size=n_good) * odds, -rng.exponential(size=n_defective))
    good, defective = rng.normal(size=n_good), rng.normal(size=n_defective)
    if setting.shape == "tied":
        return np.round(np.append(good, defective + _shift_of_rounded(setting.auroc)))
    spread = _WIDE if setting.shape == "wide" else 1.0
    return np.append(good, spread * defective + np.hypot(1, spread) * norm.ppf(setting.auroc))


@lru_cache
def _shift_of_rounded(auroc: float) -> float:
    """How far rounded normal scores are apart that have this AUROC, a tie counting half."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    levels = np.arange(-12, 25)

    def surplus(shift: float) -> float:
        good, defective = (norm.cdf(levels + 0.5 - at) - norm.cdf(levels - 0.5 - at) for at in (0, shift))
        return float(defective @ (np.cumsum(good) - good / 2)) - auroc

    return float(brentq(surplus, 0, 12))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two detectors with normal scores on the same images, each fitted with several seeds.

    Attributes:
        aurocs: The true mean over all seeds of each.
        n_good: Images.
        n_defective: Images.
        n_seeds: Fits of each.
        seed_spread: Standard deviation over fits of the distance of the classes, in that of one class's scores.
        shared: Share of the variance of scores that is the image's, whatever the detector.
        noise: Share that is the fit's alone.
    """

    aurocs: tuple[float, float]
    n_good: int
    n_defective: int
    n_seeds: int = 1
    seed_spread: float = 0.0
    shared: float = 0.5
    noise: float = 0.0


def draw_pair(pair: Pair, rng: np.random.Generator) -> tuple[Sample, Sample]:
    """One test set under both detectors."""
    from scipy.stats import norm

    setting = Setting(shape="normal", auroc=0.5, n_good=pair.n_good, n_defective=pair.n_defective)
    labels, n = setting.labels, len(setting.labels)
    image = np.sqrt(pair.shared) * rng.normal(size=n)
    found = []
    for auroc in pair.aurocs:
        own = np.sqrt(1 - pair.shared - pair.noise) * rng.normal(size=n)
        fits = np.sqrt(pair.noise) * rng.normal(size=(pair.n_seeds, n))
        # The mean over seeds of the AUROC of normal scores with a normal shift: variances add.
        shift = np.sqrt(2 + pair.seed_spread**2) * norm.ppf(auroc) + pair.seed_spread * rng.normal(size=pair.n_seeds)
        found.append(setting.sample(image + own + fits + shift[:, None] * labels))
    return found[0], found[1]
