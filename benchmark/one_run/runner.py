"""From an experiment to a record: prepare, fit, test once, measure, write whole."""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark.one_run.networks import IMAGE, NETWORK
from benchmark.one_run.preparation import Prepared, identity, named, prepare
from benchmark.plan.experiment import Experiment
from benchmark.records.local import keep_place
from benchmark.records.store import CHECKPOINT, SCORES, Store
from extensions.runtime.disk import DiskFullError, room_for
from extensions.runtime.escaped import writable
from extensions.runtime.explained import explained

logger = logging.getLogger(__name__)

DECODED_BYTES = 2**30  # of images that were checked and wait to be brought to size; freed before training


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out and what is kept of it; none of it changes a result.

    Args:
        sweep: Name under which the record is filed.
        overwrite: `missing` runs what has no record, `failed` also what failed, `all` everything; with `latency` a
            sweep also times again what was kept.
        keep_checkpoint: Save `model.ckpt` beside the record.
        images: How many best and worst images to draw; 0 draws none.
        progress: Show a progress bar of the run.
        layers: For a `backbone_id`, all layers that the sweep asks of it, so that one pass serves all its runs.
        n_threads: Threads of torch; None leaves them as they are.
        page: Draw `suspects.html` for a refinement.
        shared_fits: Of `benchmark.one_run.shared_fit`: fits of which one serves several runs of the sweep.
        timed_later: The network stays beside the record until a sweep times all of its own together, see
            `benchmark.execute.latency_session`; the run itself times a few images only.
        data_root: Where relative data roots start, absolute; None for `$WORKBENCH_DATA`, else the working directory.
    """

    sweep: str = ""
    overwrite: str = "missing"
    keep_checkpoint: bool = True
    images: int = 0
    progress: bool = True
    layers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    n_threads: int | None = None
    page: bool = False
    shared_fits: tuple[str, ...] = ()
    timed_later: bool = False
    data_root: Path | None = None


def run_experiment(
    experiment: Experiment, output: Path, *, options: RunOptions | None = None, error: Exception | None = None
) -> dict[str, Any] | None:
    """Run one experiment unless its record is there, and return the record.

    A failure is a record too. Returns None when another process is at work on the same experiment.

    Args:
        experiment: What to run.
        output: Folder of records.
        options: How it is carried out.
        error: Why it cannot be run, known from outside: recorded as its failure, and nothing is run.

    Raises:
        DiskFullError: There is no room for its files; no record is left.
    """
    from extensions.data.reading.decoded import decoded_images

    with decoded_images.keeping(DECODED_BYTES):
        return _run(experiment, Store(output), options or RunOptions(), error=error)


def _run(
    experiment: Experiment, store: Store, options: RunOptions, *, error: Exception | None
) -> dict[str, Any] | None:
    prepared = prepare(experiment, options.data_root)
    if error is not None:
        prepared = replace(prepared, error=error)
    folder = prepared.folder(store)
    with store.lock(prepared.key, wait=False) as mine:
        if not mine:
            return None
        there = store.read(folder)
        if there is not None and not is_due(there, options.overwrite):
            keep_place(prepared, folder)  # the same data may lie elsewhere by now
            return there
        with store.workspace() as workspace:
            record = _carry_out(prepared, workspace, options)
            keep_place(prepared, workspace)
            if there is not None and there["status"] == "finished" != record["status"]:
                logger.warning("%s: the run failed; the finished one of before stays", folder)
            else:
                store.commit(workspace, folder, record)
    return record


def is_due(record: dict[str, Any] | None, overwrite: str) -> bool:
    """Whether an experiment with this record is run again; what was missing on disk is always looked for again."""
    if record is None or overwrite == "all" or record["status"] == "missing":
        return True
    return overwrite == "failed" and record["status"] == "failed"


def _carry_out(prepared: Prepared, workspace: Path, options: RunOptions) -> dict[str, Any]:
    from benchmark.one_run.machine import environment

    started = datetime.now(UTC)
    clock = time.perf_counter()
    record = identity(prepared) | {"sweep": options.sweep, "started": started.isoformat(timespec="seconds")}
    try:
        if prepared.error is not None:
            raise prepared.error
        with room_for(workspace):
            record |= {"status": "finished", "error": None} | _measure(prepared, workspace, options)
    except DiskFullError:
        raise  # no failure of this run: the same command must run it again
    except Exception as error:
        logger.debug("run failed", exc_info=True)
        for leftover in (SCORES, CHECKPOINT, NETWORK, IMAGE):
            (workspace / leftover).unlink(missing_ok=True)
        described = _describe(error, what=prepared.experiment.model_name)
        record |= {"status": _status(error), "error": described, "metrics": {}}
    return record | {"environment": dict(environment()), "seconds": time.perf_counter() - clock}


def failed_record(experiment: Experiment, error: Exception) -> dict[str, Any]:
    """What a record would say of a run that could not even be recorded; it is not on disk."""
    dataset, category = named(experiment)
    prepared = Prepared(experiment, dataset, category, key="", error=error)
    described = _describe(error, what=experiment.model_name)
    return identity(prepared) | {"status": "failed", "error": described, "metrics": {}}


def _measure(prepared: Prepared, workspace: Path, options: RunOptions) -> dict[str, Any]:
    from benchmark.one_run.measurement import measure

    if options.n_threads is not None:
        import torch

        torch.set_num_threads(options.n_threads)
    if prepared.experiment.refinement is None:
        return measure(prepared, workspace, options)[0]
    from benchmark.one_run.refinement_run import measure_refined

    return measure_refined(prepared, workspace, lambda part: measure(part, workspace, options), page=options.page)


def _status(error: Exception) -> str:
    from extensions.data import DatasetMissingError

    return "missing" if isinstance(error, DatasetMissingError) else "failed"


def _describe(error: Exception, *, what: str) -> dict[str, str]:
    return {
        "type": type(error).__name__,
        "message": explained(error, what=what),
        "traceback": writable("".join(traceback.format_exception(error))),
    }
