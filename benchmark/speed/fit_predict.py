"""Rows of fitting and of prediction: PatchCore with its coreset, a whole PaDiM experiment, the test set of both."""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.one_run.training import device_of
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
from benchmark.speed.timing import STOCK, Measurement, largest_difference, take_turns

if TYPE_CHECKING:
    from benchmark.speed.bench import Bench
    from benchmark.speed.images import SpeedImages
    from benchmark.speed.limits import Limits

CACHE = "WORKBENCH_CACHE"


def patchcore_fit(bench: Bench) -> Measurement:
    """`Engine.fit` of PatchCore on both sides, all of stock's centers included."""
    return _patchcore_fit(bench, bench.images, bench.limits)


def large_patchcore_fit(bench: Bench) -> Measurement:
    """The same on the enlarged images."""
    return _patchcore_fit(bench, bench.large, bench.large_limits)


def _patchcore_fit(bench: Bench, data: SpeedImages, limits: Limits) -> Measurement:
    settings = bench.settings

    def ours() -> Any:
        model = our_patchcore(settings)
        fit(model, data.datamodule(settings.n_workers))
        return model

    def stock() -> Any:
        model = stock_patchcore(our_patchcore(settings))
        fit(model, data.datamodule(settings.n_workers))
        return model

    stock_patchcore(our_patchcore(settings))  # what both sides import is imported before the clock starts
    turns = take_turns(ours, stock, rounds=settings.rounds, patience=settings.patience)
    bank, stock_bank = (fitted_tensors(model)["memory_bank"] for model in (turns.ours_result, turns.reference_result))
    n_equal = int((bank == stock_bank).all(dim=1).sum()) if bank.shape == stock_bank.shape else 0
    found, _ = test(turns.ours_result, data.datamodule(settings.n_workers))
    give_fitted(turns.ours_result, {"memory_bank": stock_bank})
    expected, _ = test(turns.ours_result, data.datamodule(settings.n_workers))
    return turns.measurement(
        limits.once(len(data.train)),
        work=f"PatchCore fit, {settings.image_size} px, ratio {settings.ratio:g}",
        data=data.description,
        bound=20,
        agreement="metrics with either memory bank",
        difference=largest_difference(found.metrics(), expected.metrics()),
        detail=(
            f"{n_equal} of {len(stock_bank)} patches of the memory banks equal to the last bit; without validation; "
            f"our first fit, {turns.ours[0]:.1f} s, {_once(device_of({}))}"
        ),
    )


def _once(device: str) -> str:
    """What the first fit on a machine does and later ones do not."""
    return "also converts the backbone for OpenVINO, once on a machine" if device == "cpu" else "also starts the GPU"


def padim_fit_test(bench: Bench) -> Measurement:
    """PaDiM from file to metrics: an experiment of a sweep with a cold cache against Engine.fit and Engine.test."""
    settings, data = bench.settings, bench.large
    compared = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")

    def ours() -> dict[str, float | None]:
        model = {"class_path": "extensions.Padim", "init_args": padim_arguments(bench, settings.n_features[-1])}
        with cold_cache():
            return sweep_metrics({"model": model, "data": data.spec(settings.n_workers)})

    def stock() -> dict[str, float | None]:
        model = stock_padim(our_padim(settings), evaluator=True)
        datamodule = data.stock_datamodule(settings.n_workers)
        fit(model, datamodule, like_a_user=True)
        results, _ = test(model, datamodule)
        return results.metrics()

    turns = take_turns(ours, stock, rounds=settings.rounds, patience=settings.patience)
    return turns.measurement(
        bench.large_limits.once(len(data.train) + len(data.test)),
        work="PaDiM fit + test",
        data=data.description,
        bound=3,
        agreement=", ".join(compared),
        difference=largest_difference(
            {name: turns.ours_result[name] for name in compared},
            {name: turns.reference_result[name] for name in compared},
        ),
        detail=(
            "ours: one experiment of `benchmark run`, its check of all images, its metrics and its record included; "
            f"{STOCK}: Engine.fit with its validation and Engine.test with its metrics, no images drawn"
        ),
    )


def patchcore_prediction(bench: Bench) -> Measurement:
    """The test set through PatchCore."""
    ours = our_patchcore(bench.settings)
    return _prediction(bench, ours, stock_patchcore(ours))


def padim_prediction(bench: Bench) -> Measurement:
    """The test set through PaDiM."""
    ours = our_padim(bench.settings)
    return _prediction(bench, ours, stock_padim(ours))


def large_patchcore_prediction(bench: Bench) -> Measurement:
    """The enlarged test set through PatchCore, each side with its own datamodule."""
    ours = our_patchcore(bench.settings)
    return _prediction(bench, ours, stock_patchcore(ours), is_large=True)


def large_padim_prediction(bench: Bench) -> Measurement:
    """The enlarged test set through PaDiM, each side with its own datamodule."""
    ours = our_padim(bench.settings)
    return _prediction(bench, ours, stock_padim(ours), is_large=True)


def _prediction(bench: Bench, ours: Any, stock: Any, *, is_large: bool = False) -> Measurement:
    settings, data = bench.settings, bench.large if is_large else bench.images
    limits = bench.large_limits if is_large else bench.limits
    theirs = data.stock_datamodule if is_large else data.datamodule
    fit(ours, data.datamodule(settings.n_workers))
    give_fitted(stock, fitted_tensors(ours))
    turns = take_turns(
        lambda: test(ours, data.datamodule(settings.n_workers))[0],
        lambda: test(stock, theirs(settings.n_workers))[0],
        rounds=settings.rounds,
        patience=settings.patience,
    )
    found, expected = turns.ours_result, turns.reference_result
    scores, stock_scores = found.by_path(), expected.by_path()
    off = float(np.abs(scores - stock_scores).max() / np.abs(stock_scores).max())
    return turns.measurement(
        limits.once(len(data.test)),
        bound=2.5 if is_large else None,
        work=f"prediction of the test set, {type(ours).__name__}",
        data=data.description,
        agreement="scores (of the largest) and metrics",
        difference=max(off, largest_difference(found.metrics(), expected.metrics())),
        detail=f"Engine.test with equal fitted models, {len(data.test) / statistics.median(turns.ours):.1f} images/s",
    )


def padim_arguments(bench: Bench, n_features: int) -> dict[str, Any]:
    """Arguments of our PaDiM in a configuration."""
    return backbone_arguments(bench) | {"n_features": n_features}


def backbone_arguments(bench: Bench) -> dict[str, Any]:
    """What every model of ours is given in a configuration."""
    own = bench.settings
    return {"backbone": own.backbone, "image_size": own.image_size} | (
        {} if own.pre_trained else {"pre_trained": False}
    )


@contextlib.contextmanager
def cold_cache() -> Iterator[dict[str, str]]:
    """An empty cache folder for this process and those it starts; yields their environment."""
    with tempfile.TemporaryDirectory(prefix="workbench-speed-cache-") as folder, cache_in(Path(folder)):
        yield dict(os.environ)


@contextlib.contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """A cache folder for this process and those it starts."""
    before = os.environ.get(CACHE)
    os.environ[CACHE] = str(folder.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ[CACHE]
        else:
            os.environ[CACHE] = before


def sweep_metrics(experiment: dict[str, Any]) -> dict[str, float | None]:
    """Run one experiment as a sweep does, and give the metrics of its record.

    Raises:
        RuntimeError: It failed.
    """
    from benchmark.execute.sweep import run_sweep
    from benchmark.one_run.options import RunOptions
    from benchmark.plan.experiment import Experiment
    from benchmark.records.archive import read_records

    with tempfile.TemporaryDirectory(prefix="workbench-speed-") as folder:
        output = Path(folder)
        with contextlib.redirect_stdout(io.StringIO()):  # its line about the run
            run_sweep([Experiment(**experiment)], output, options=RunOptions(progress=False), keep="none")
        (record,) = read_records(output)
    if record.error is not None:
        msg = f"the experiment failed: {record.error.message}"
        raise RuntimeError(msg)
    return record.metrics
