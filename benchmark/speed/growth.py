"""Rows of growth: what ours costs at one, two, four and eight times the images, and so what doubling them costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark.speed.coreset import project
from benchmark.speed.models import fit, our_padim, our_patchcore, test
from benchmark.speed.pixel_metrics import made_up_maps, our_metrics
from benchmark.speed.timing import Measurement, timed

if TYPE_CHECKING:
    from benchmark.speed.bench import Bench

TIMES = (1, 2, 4, 8)


def padim_fit_growth(bench: Bench) -> Measurement:
    """`Engine.fit` of PaDiM."""
    return _fit_growth(bench, "PaDiM fit", lambda _: our_padim(bench.settings), detail="")


def patchcore_fit_growth(bench: Bench) -> Measurement:
    """`Engine.fit` of PatchCore with a bank of the same size, for a coreset's share of the images grows with them."""
    n_patches = len(bench.embedding) / len(bench.images.train)

    def model(n_images: int) -> Any:
        # The share is rounded up a little: int() of a product must not lose the last patch.
        ratio = min(1.0, (bench.settings.bank_size + 0.5) / (n_patches * n_images))
        return our_patchcore(bench.settings, coreset_sampling_ratio=ratio)

    return _fit_growth(bench, "PatchCore fit", model, detail=f", {bench.settings.bank_size} patches in each bank")


def coreset_growth(bench: Bench) -> Measurement:
    """The coreset at a fixed ratio: twice the images are twice the patches and twice the centers."""
    from benchmark.speed.features import made_up_embedding
    from extensions.models.patchcore.coreset import greedy_k_center

    settings = bench.settings
    n_images = len(bench.images.train)
    seconds = []
    for times in TIMES:
        features = project(made_up_embedding(times * n_images, side=max(1, settings.image_size // 8)))
        n_centers = int(len(features) * settings.ratio)
        _, taken = timed(partial(greedy_k_center, features, n_centers, 0, progress=True))
        seconds.append([taken])
    return _measurement(
        f"coreset alone, ratio {settings.ratio:g}",
        "made-up features",
        [times * n_images for times in TIMES],
        seconds,
        bound=None,
        detail="twice the patches and twice the centers: every distance would be 4 times the work",
    )


def prediction_growth(bench: Bench) -> Measurement:
    """`Engine.test` of PatchCore with one bank."""
    settings = bench.settings
    model = our_patchcore(settings)
    fit(model, bench.images.datamodule(settings.n_workers))
    sizes = _sizes(len(bench.images.test))
    parts = [bench.copy(f"test-{n}", n_train=1, n_test=n) for n in sizes]
    works = [lambda part=part: test(model, part.datamodule(settings.n_workers)) for part in parts]
    return _measurement(
        "prediction, PatchCore", bench.images.description, sizes, _in_turns(works, settings.rounds), bound=2
    )


def metrics_growth(bench: Bench) -> Measurement:
    """Pixel metrics in one pass."""
    settings = bench.settings
    sizes = [times * max(1, settings.n_maps // TIMES[-1]) for times in TIMES]
    maps, masks = made_up_maps(sizes[-1], settings.map_side)
    works = [lambda n=n: our_metrics(maps[:n], masks[:n]) for n in sizes]
    data = f"made-up maps of {settings.map_side} x {settings.map_side}"
    return _measurement("metrics (AUROC, F1Max, AUPRO)", data, sizes, _in_turns(works, settings.rounds), bound=2)


def _fit_growth(bench: Bench, work: str, model: Callable[[int], Any], *, detail: str) -> Measurement:
    settings = bench.settings
    sizes = _sizes(len(bench.images.train))
    parts = [bench.copy(f"{work.split()[0]}-{n}", n_train=n, n_test=2) for n in sizes]
    works = [
        lambda part=part, n=n: fit(model(n), part.datamodule(settings.n_workers))
        for part, n in zip(parts, sizes, strict=True)
    ]
    return _measurement(
        work, bench.images.description, sizes, _in_turns(works, settings.rounds), bound=2, detail=detail
    )


def _sizes(n_images: int) -> list[int]:
    """An eighth, a quarter, a half, all; fewer where that is less than two images."""
    smallest = max(2, n_images // TIMES[-1])
    return [smallest * times for times in TIMES if smallest * times <= n_images]


def _in_turns(works: Sequence[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Seconds of each work by round; the rounds go through all works, so that disturbances fall on all."""
    by_round = [[timed(work)[1] for work in works] for _ in range(rounds)]
    return [list(seconds) for seconds in zip(*by_round, strict=True)]


def _measurement(
    work: str,
    data: str,
    sizes: Sequence[int],
    seconds: Sequence[Sequence[float]],
    *,
    bound: float | None,
    detail: str = "",
) -> Measurement:
    """The costliest of the doublings, as ours against half the images.

    Of each size the fastest round counts: what else the machine does only adds, and a ratio of two sums would show it.
    """
    fastest = [min(taken) for taken in seconds]
    worse = max(range(len(fastest) - 1), key=lambda i: fastest[i + 1] / fastest[i])
    listed = ", ".join(f"{n}: {taken:.2f} s" for n, taken in zip(sizes, fastest, strict=True))
    return Measurement(
        work=f"growth of {work}",
        data=data,
        reference="ours with half the images",
        reference_seconds=fastest[worse],
        ours_seconds=fastest[worse + 1],
        bound=bound,
        at_most=True,
        limit="twice the cost for twice the images" if bound else "",
        limit_seconds=2 * fastest[worse] if bound else None,
        detail=f"{listed}{', ' if detail else ''}{detail.removeprefix(', ')}",
        measured={str(n): list(taken) for n, taken in zip(sizes, seconds, strict=True)},
    )
