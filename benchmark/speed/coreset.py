"""Rows of PatchCore's coreset alone: the same patches in the same order, from the same features."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark.speed.timing import Measurement, timed

if TYPE_CHECKING:
    from benchmark.speed.bench import Bench


def coreset(bench: Bench) -> Measurement:
    """The coreset at the settings' ratio."""
    return measure_coreset(bench, bench.settings.ratio, bound=None)


def large_coreset(bench: Bench) -> Measurement:
    """The coreset at the settings' large ratio."""
    return measure_coreset(bench, bench.settings.large_ratio, bound=60)


def measure_coreset(bench: Bench, ratio: float, *, bound: float | None) -> Measurement:
    """Time the selection of a share of the patches; stock selects the settings' number of centers."""
    settings = bench.settings
    features = project(bench.embedding)
    n_centers = int(len(features) * ratio)
    n_stock = min(settings.n_centers or n_centers, n_centers)
    timing = time_coreset(features, n_centers, n_stock=n_stock, rounds=1 if n_stock == n_centers else 2)
    n_bytes = features.numel() * features.element_size() * n_centers
    limit, limit_seconds = bench.limits.reading(n_bytes, "all features read for every center, which ours does not")
    return Measurement(
        work=f"coreset alone, ratio {ratio:g}",
        data=bench.images.description,
        reference_seconds=timing["stock_seconds"],
        ours_seconds=timing["ours_seconds"],
        bound=bound,
        limit=limit,
        limit_seconds=limit_seconds,
        agreement="indices" if n_stock == n_centers else f"indices of the first {n_stock} centers",
        difference=timing["n_different"],
        tolerance=0,
        extrapolated=n_stock < n_centers,
        detail=(
            f"{n_centers} of {len(features)} patches, {features.shape[1]} projected features each; "
            f"stock selected {'all' if n_stock == n_centers else f'the first {n_stock}'}"
        ),
        measured={"ours": timing["ours_measured"], "reference": timing["stock_measured"]},
    )


def time_coreset(features: torch.Tensor, n_centers: int, *, n_stock: int, rounds: int) -> dict[str, Any]:
    """Time the greedy selection of stock and ours in turns, on the same features and from the same start.

    Args:
        features: (n_points, n_channels) float32, projected already.
        n_centers: Centers that ours selects, and stock's seconds are given for.
        n_stock: Centers that stock selects, at least 2; its seconds are scaled to all of them.
        rounds: How often each is timed; medians are given.

    Returns:
        n_points, n_channels, n_centers, n_stock_centers, stock_seconds, ours_seconds, ours_measured and stock_measured
        (s, each time taken, unscaled), n_different (of stock's centers, how many are others in ours, 0 when equal).

    Raises:
        ValueError: Stock is to select fewer than two centers.
    """
    if n_stock < 2:
        msg = (
            f"Stock would be timed for {n_stock} of {n_centers} centers; expected at least 2: more centers or features."
        )
        raise ValueError(msg)
    stock_measured, ours_measured = [], []
    n_different = 0
    for _ in range(rounds):
        ours, seconds = _ours(features, n_centers)
        ours_measured.append(seconds)
        stock, seconds = _stock(features, n_stock)
        stock_measured.append(seconds)
        n_different = max(n_different, sum(a != b for a, b in zip(stock, ours[:n_stock], strict=True)))
    return {
        "n_points": len(features),
        "n_channels": features.shape[1],
        "n_centers": n_centers,
        "n_stock_centers": n_stock,
        "stock_seconds": statistics.median(stock_measured) * scale(n_centers, n_stock),
        "ours_seconds": statistics.median(ours_measured),
        "stock_measured": stock_measured,
        "ours_measured": ours_measured,
        "n_different": n_different,
    }


def scale(n_centers: int, n_measured: int) -> float:
    """By what the time of some centers is multiplied; the last one is selected without measuring distances to it."""
    return (n_centers - 1) / (n_measured - 1)


def project(embedding: torch.Tensor) -> torch.Tensor:
    """The random projection that both sides select on, always the same one."""
    from anomalib.models.components import SparseRandomProjection

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # A generator, not a number: with a number it draws the same few columns for every row.
        generator = np.random.RandomState(0)
        return SparseRandomProjection(eps=0.9, random_state=generator).fit(embedding).transform(embedding)


@contextmanager
def capped_sampler(n_centers: int | None) -> Iterator[list[dict[str, float]]]:
    """Let stock's sampler select some centers, and ours the others: the same ones, so that what follows is the same.

    Args:
        n_centers: That stock selects; None for all, and nothing is changed.

    Yields:
        A list that gets, for each coreset: measured_s (stock's for its centers), all_s (extrapolated to all),
        filled_s (ours for all), n_centers, n_measured, n_different (of stock's centers).
    """
    from anomalib.models.components import KCenterGreedy

    from extensions.models.patchcore.coreset import greedy_k_center

    whole = KCenterGreedy.select_coreset_idxs
    log: list[dict[str, float]] = []

    def select(self: Any) -> list[int]:
        n_all = self.coreset_size
        n_measured = n_all if n_centers is None else max(2, min(n_centers, n_all))
        if n_measured >= n_all:
            return whole(self)
        self.coreset_size = n_measured
        # Projecting is done once whatever the number of centers, so it is not extrapolated.
        projecting = _watch(self.model, "fit", "transform")
        found, seconds = timed(lambda: whole(self))
        ours, filled = timed(lambda: greedy_k_center(self.features, n_all, found[0]).tolist())
        log.append(
            {
                "measured_s": seconds,
                "all_s": sum(projecting) + (seconds - sum(projecting)) * scale(n_all, n_measured),
                "filled_s": filled,
                "n_centers": n_all,
                "n_measured": n_measured,
                "n_different": sum(a != b for a, b in zip(found, ours, strict=False)),
            }
        )
        return ours

    KCenterGreedy.select_coreset_idxs = select
    try:
        yield log
    finally:
        KCenterGreedy.select_coreset_idxs = whole


def _watch(thing: Any, *methods: str) -> list[float]:
    """A list that gets the seconds of every call of these methods."""
    seconds: list[float] = []

    def watched(method: Any) -> Any:
        def call(*arguments: Any) -> Any:
            result, taken = timed(lambda: method(*arguments))
            seconds.append(taken)
            return result

        return call

    for name in methods:
        setattr(thing, name, watched(getattr(thing, name)))
    return seconds


def _ours(features: torch.Tensor, n_centers: int) -> tuple[list[int], float]:
    from extensions.models.patchcore.coreset import greedy_k_center

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = int(torch.randint(high=len(features), size=(1,)))
    found, seconds = timed(lambda: greedy_k_center(features, n_centers, first, progress=True))
    return found.tolist(), seconds


def _stock(features: torch.Tensor, n_centers: int) -> tuple[list[int], float]:
    from anomalib.models.components import KCenterGreedy

    sampler = KCenterGreedy(features[:, None], 1.0)  # three dimensions: stock leaves out its projection
    sampler.coreset_size = n_centers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timed(sampler.select_coreset_idxs)
