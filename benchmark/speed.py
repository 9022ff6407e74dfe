"""How much faster our parts are than stock anomalib, timed in turns in one process, with equal results."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmark.machine import environment
from benchmark.store import write_json, write_text

RATIO = 0.01
STOCK_CENTERS = 100
COLUMNS = ("work", "stock_seconds", "ours_seconds", "ratio", "detail", "extrapolated")


def run_speed(
    output: Path, *, centers: int | None = None, pictures: Path | None = None, embedding: torch.Tensor | None = None
) -> pd.DataFrame:
    """Time PatchCore's coreset, stock and ours; write `coreset.json` and `coreset.csv` into the output folder.

    Stock takes the same time for every center, so it is timed for the first ones and the rest is extrapolated,
    which the table says; `SPEED=full` in the environment times all of them (minutes).

    Args:
        output: Folder for the result.
        centers: Centers that stock is timed for; None for 100, or all with `SPEED=full`.
        pictures: Folder whose pictures give the features; None for made-up ones of the size of MVTec AD's bottle.
        embedding: (n_patches, n_channels) features instead of both.

    Returns:
        One row: work, stock_seconds, ours_seconds, ratio (higher is better), detail, extrapolated.

    Raises:
        ValueError: SPEED in the environment is neither empty nor `full`, or too few centers are asked for.
        RuntimeError: Stock and ours select different indices.
    """
    full = _full()
    source = "given features" if embedding is not None else f"pictures in {pictures.name}" if pictures else "made up"
    if embedding is None:
        from benchmark.speed_features import made_up_embedding, picture_embedding

        embedding = picture_embedding(pictures) if pictures else made_up_embedding()
    n_centers = int(len(embedding) * RATIO)
    n_stock = n_centers if full and centers is None else min(centers or STOCK_CENTERS, n_centers)
    if n_stock < 2:
        msg = (
            f"Stock would be timed for {n_stock} of {n_centers} centers; expected at least 2: more centers or features."
        )
        raise ValueError(msg)
    timing = time_coreset(_project(embedding), n_centers, n_stock=n_stock, rounds=1 if full else 2)
    row = {
        "work": "PatchCore coreset",
        "stock_seconds": timing["stock_seconds"],
        "ours_seconds": timing["ours_seconds"],
        "ratio": timing["stock_seconds"] / timing["ours_seconds"],
        "detail": _detail(timing, source),
        "extrapolated": n_stock < n_centers,
    }
    frame = pd.DataFrame([row], columns=list(COLUMNS))
    write_json(output / "coreset.json", {**row, **timing, "source": source, "environment": environment()})
    write_text(output / "coreset.csv", frame.to_csv(index=False))
    return frame


def time_coreset(features: torch.Tensor, n_centers: int, *, n_stock: int, rounds: int, seed: int = 0) -> dict[str, Any]:
    """Time the greedy selection of stock and ours in turns, on the same features and from the same start.

    Args:
        features: (n_points, n_channels) float32, projected already.
        n_centers: Centers that ours selects, and stock's seconds are given for.
        n_stock: Centers that stock selects; its seconds are scaled to all of them.
        rounds: How often each is timed; medians are given.
        seed: Picks the start.

    Returns:
        n_points, n_channels, n_centers, n_stock_centers, stock_seconds, ours_seconds, ours_measured and stock_measured
        (s, each time taken, unscaled), indices_equal.

    Raises:
        RuntimeError: The indices differ.
    """
    stock_measured, ours_measured = [], []
    for _ in range(rounds):
        ours, seconds = _ours(features, n_centers, seed)
        ours_measured.append(seconds)
        stock, seconds = _stock(features, n_stock, seed)
        stock_measured.append(seconds)
        if stock != ours[:n_stock]:
            place = next(i for i, (a, b) in enumerate(zip(stock, ours, strict=False)) if a != b)
            msg = (
                f"Center {place} is patch {stock[place]} for stock and {ours[place]} for ours; expected equal indices."
            )
            raise RuntimeError(msg)
    return {
        "n_points": len(features),
        "n_channels": features.shape[1],
        "n_centers": n_centers,
        "n_stock_centers": n_stock,
        # The last center is selected without measuring the distances to it.
        "stock_seconds": statistics.median(stock_measured) * (n_centers - 1) / (n_stock - 1),
        "ours_seconds": statistics.median(ours_measured),
        "stock_measured": stock_measured,
        "ours_measured": ours_measured,
        "indices_equal": True,
    }


def _ours(features: torch.Tensor, n_centers: int, seed: int) -> tuple[list[int], float]:
    from extensions.models.patchcore.coreset import greedy_k_center

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = int(torch.randint(high=len(features), size=(1,)))
    start = time.perf_counter()
    found = greedy_k_center(features, n_centers, first, progress=True)
    return found.tolist(), time.perf_counter() - start


def _stock(features: torch.Tensor, n_centers: int, seed: int) -> tuple[list[int], float]:
    from anomalib.models.components import KCenterGreedy

    sampler = KCenterGreedy(features[:, None], 1.0)  # three dimensions: stock leaves out its projection
    sampler.coreset_size = n_centers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        start = time.perf_counter()
        found = sampler.select_coreset_idxs()
        return found, time.perf_counter() - start


def _project(embedding: torch.Tensor) -> torch.Tensor:
    from anomalib.models.components import SparseRandomProjection

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SparseRandomProjection(eps=0.9, random_state=0).fit(embedding).transform(embedding)


def _full() -> bool:
    value = os.environ.get("SPEED", "")
    if value not in ("", "full"):
        msg = f"SPEED is {value!r} in the environment; expected 'full' or nothing."
        raise ValueError(msg)
    return value == "full"


def _detail(timing: dict[str, Any], source: str) -> str:
    of_stock = f"first {timing['n_stock_centers']}" if timing["n_stock_centers"] < timing["n_centers"] else "all"
    return (
        f"{timing['n_points']} x {timing['n_channels']} features ({source}), {timing['n_centers']} centers; "
        f"stock timed for {of_stock}, indices of those equal; {torch.get_num_threads()} threads"
    )
