"""The row of pixel metrics: AUROC, F1Max and AUPRO of many maps in one pass, against anomalib's three metrics."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmark.metrics.pixel import PixelMetrics
from benchmark.speed.timing import Measurement, largest_difference, take_turns, timed

if TYPE_CHECKING:
    from benchmark.speed.bench import Bench

BATCH = 32


def metrics(bench: Bench) -> Measurement:
    """Both sides on the same maps in batches of 32; then ours on more, for its memory."""
    settings = bench.settings
    maps, masks = made_up_maps(settings.n_maps, settings.map_side)
    turns = take_turns(
        lambda: our_metrics(maps, masks),
        lambda: stock_metrics(maps, masks),
        rounds=settings.rounds,
        patience=settings.patience,
    )
    repeats = max(1, settings.n_many_maps // settings.n_maps)
    tracemalloc.start()
    _, seconds = timed(lambda: our_metrics(maps, masks, repeats=repeats))
    _, n_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return turns.measurement(
        bench.limits.reading(maps.nbytes + masks.nbytes, "maps and masks read once"),
        work=f"metrics of {settings.n_maps} maps (AUROC, F1Max, AUPRO)",
        data=f"made-up maps of {settings.map_side} x {settings.map_side}",
        bound=10,
        agreement="AUROC, F1Max, AUPRO",
        difference=largest_difference(turns.ours_result, turns.reference_result),
        detail=(
            f"ours with {repeats * settings.n_maps} maps: {seconds:.1f} s and {n_bytes / 1e6:.0f} MB at most, "
            "maps and masks not counted"
        ),
    )


def made_up_maps(n_maps: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth maps in [0, 1) that are higher in rectangles, of which every other image has one to three.

    Args:
        n_maps: How many.
        side: Height and width in px.

    Returns:
        (n_maps, side, side) float32, and bool where the rectangles are.
    """
    rng = np.random.default_rng(0)
    maps = np.empty((n_maps, side, side), np.float32)
    masks = np.zeros((n_maps, side, side), bool)
    for i in range(n_maps):
        for _ in range(int(rng.integers(1, 4)) if i % 2 else 0):
            top, left = rng.integers(0, side - side // 4, 2)
            height, width = rng.integers(max(2, side // 25), side // 4, 2)
            masks[i, top : top + height, left : left + width] = True
        coarse = 0.5 * rng.random((14, 14), dtype=np.float32)
        maps[i] = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
        maps[i] += 0.25 * cv2.GaussianBlur(masks[i].astype(np.float32), (0, 0), side / 32)
    return maps / (maps.max() * 1.001), masks


def our_metrics(maps: np.ndarray, masks: np.ndarray, *, repeats: int = 1) -> dict[str, float | None]:
    """AUROC, F1Max and AUPRO of maps (N, H, W) and masks (N, H, W), each seen `repeats` times."""
    counted = PixelMetrics()
    for _ in range(repeats):
        for start in range(0, len(maps), BATCH):
            part = slice(start, start + BATCH)
            counted.update(maps[part], masks[part], np.arange(len(maps))[part] % 2)
    found = counted.compute()
    return {name: found[f"pixel_{name}"] for name in ("AUROC", "F1Max", "AUPRO")}


def stock_metrics(maps: np.ndarray, masks: np.ndarray) -> dict[str, float | None]:
    """The same by anomalib, one metric after the other: together they would need three times the memory."""
    import torch
    from anomalib.metrics import AUPRO, AUROC, F1Max

    found: dict[str, float | None] = {}
    for metric_class in (AUROC, F1Max, AUPRO):
        metric = metric_class(fields=["anomaly_map", "gt_mask"])
        for start in range(0, len(maps), BATCH):
            part = slice(start, start + BATCH)
            batch = SimpleNamespace(
                anomaly_map=torch.from_numpy(maps[part])[:, None],  # (n, 1, H, W)
                gt_mask=torch.from_numpy(masks[part]),  # (n, H, W)
            )
            metric.update(batch)
        found[metric_class.__name__] = float(metric.compute())
    return found
