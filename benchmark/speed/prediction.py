"""Rows of prediction: the test set through a fitted PatchCore and a fitted PaDiM, equal ones on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.speed.models import (
    fit,
    fitted_tensors,
    give_fitted,
    our_padim,
    our_patchcore,
    stock_padim,
    stock_patchcore,
    test,
)
from benchmark.speed.timing import Measurement, largest_difference, take_turns

if TYPE_CHECKING:
    from benchmark.speed.bench import Bench


def patchcore_prediction(bench: Bench) -> Measurement:
    """The test set through PatchCore."""
    ours = our_patchcore(bench.settings)
    return _measure(bench, ours, stock_patchcore(ours))


def padim_prediction(bench: Bench) -> Measurement:
    """The test set through PaDiM."""
    ours = our_padim(bench.settings)
    return _measure(bench, ours, stock_padim(ours))


def _measure(bench: Bench, ours: Any, stock: Any) -> Measurement:
    settings, data = bench.settings, bench.images
    fit(ours, data.datamodule(settings.n_workers))
    give_fitted(stock, fitted_tensors(ours))
    turns = take_turns(
        lambda: test(ours, data.datamodule(settings.n_workers))[0],
        lambda: test(stock, data.datamodule(settings.n_workers))[0],
        rounds=settings.rounds,
        patience=settings.patience,
    )
    found, expected = turns.ours_result, turns.reference_result
    scores, stock_scores = np.concatenate(found.scores), np.concatenate(expected.scores)
    off = float(np.abs(scores - stock_scores).max() / np.abs(stock_scores).max())
    limit, limit_seconds = bench.limits.once(len(data.test))
    return Measurement(
        work=f"prediction of the test set, {type(ours).__name__}",
        data=data.description,
        reference_seconds=turns.reference_seconds,
        ours_seconds=turns.ours_seconds,
        limit=limit,
        limit_seconds=limit_seconds,
        agreement="scores (of the largest) and metrics",
        difference=max(off, largest_difference(found.metrics(), expected.metrics())),
        detail=f"Engine.test with equal fitted models, {len(data.test) / turns.ours_seconds:.1f} images/s",
        measured=turns.measured,
    )
