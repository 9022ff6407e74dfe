"""From an experiment to a record: prepare, fit, test once, measure, write whole."""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmark.one_run.kept_maps import MAPS, lacks_maps_for
from benchmark.one_run.kept_networks import IMAGE, NETWORK
from benchmark.one_run.options import RunOptions
from benchmark.one_run.preparation import Prepared, keep_place, named, prepare, record_header
from benchmark.one_run.refitted_thresholds import lacks_scores_for, with_requirement
from benchmark.plan.experiment import Experiment
from benchmark.records.record import Record
from benchmark.records.record_sections import Failure
from benchmark.records.run_files import CALIBRATION, CHECKPOINT, SCORES
from benchmark.records.store import Store
from extensions.runtime.disk import DiskFullError, room_for
from extensions.runtime.escaped import writable
from extensions.runtime.explained import explained
from extensions.runtime.float32 import exact_float32
from extensions.runtime.limits import limit_of

logger = logging.getLogger(__name__)

DECODED_BYTES = 2**30  # of images that were checked and wait to be brought to size; freed before training


def decoded_limit() -> int:
    """Bytes of decoded images that a run keeps until they are brought to size: `$WORKBENCH_DECODED_LIMIT` (GiB).

    Images that do not fit are decoded a second time, with the same result.

    Raises:
        ValueError: The limit is no number of GiB.
    """
    return limit_of("WORKBENCH_DECODED_LIMIT", DECODED_BYTES, without="none")


def run_experiment(
    experiment: Experiment, output: Path, *, options: RunOptions | None = None, error: Exception | None = None
) -> Record | None:
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

    with decoded_images.keeping(decoded_limit()):
        return _run(experiment, Store(output), options or RunOptions(), error=error)


def _run(experiment: Experiment, store: Store, options: RunOptions, *, error: Exception | None) -> Record | None:
    prepared = prepare(experiment, options.data_root)
    if error is not None:
        prepared = replace(prepared, error=error)
    with store.lock(prepared.key, wait=False) as mine:
        if not mine:
            return None
        there = store.read(prepared.folder)
        if there is not None and not is_due(there, options.overwrite):
            keep_place(prepared, store.output / prepared.folder)  # the same data may lie elsewhere by now
            lacks_maps = there.is_finished and lacks_maps_for(store.output / there.folder, experiment, options)
            if not lacks_maps and not lacks_scores_for(there, store.output, options.requirement):
                return with_requirement(store, there, options.requirement)
        with store.workspace() as workspace:
            record = _carry_out(prepared, workspace, options)
            keep_place(prepared, workspace)
            if there is not None and there.is_finished and not record.is_finished:
                logger.warning("%s: the run failed; the finished one of before stays", store.output / record.folder)
            else:
                store.commit(workspace, record)
    return record


def is_due(record: Record | None, overwrite: str) -> bool:
    """Whether an experiment with this record is run again; what was missing on disk is always looked for again."""
    if record is None or overwrite == "all" or record.status == "missing":
        return True
    return overwrite == "failed" and record.status == "failed"


def _carry_out(prepared: Prepared, workspace: Path, options: RunOptions) -> Record:
    from benchmark.one_run.machine import environment

    started = datetime.now(UTC)
    clock = time.perf_counter()
    record = record_header(prepared, sweep=options.sweep, started=started.isoformat(timespec="seconds"))
    try:
        if prepared.error is not None:
            raise prepared.error
        with room_for(workspace), exact_float32():
            record = _measure(record, prepared, workspace, options)
    except DiskFullError:
        raise  # no failure of this run: the same command must run it again
    except Exception as error:
        logger.debug("run failed", exc_info=True)
        for leftover in (SCORES, CALIBRATION, CHECKPOINT, NETWORK, IMAGE, MAPS):
            (workspace / leftover).unlink(missing_ok=True)
        record = _failed(record, error)
    return record.model_copy(update={"environment": dict(environment()), "seconds": time.perf_counter() - clock})


def failed_record(experiment: Experiment, error: Exception) -> Record:
    """What a record would say of a run that could not even be recorded; it is not on disk."""
    dataset, category = named(experiment)
    return _failed(record_header(Prepared(experiment, dataset, category, key="")), error)


def _measure(record: Record, prepared: Prepared, workspace: Path, options: RunOptions) -> Record:
    from benchmark.one_run.measurement import measure

    if options.n_threads is not None:
        from extensions.models.common.threads import compute_on

        compute_on(options.n_threads)
    if prepared.experiment.refinement is None:
        return measure(record, prepared, workspace, options)[0]
    from benchmark.one_run.refinement_run import measure_refined

    return measure_refined(
        record, prepared, workspace, lambda part: measure(record, part, workspace, options), page=options.page
    )


def _failed(record: Record, error: Exception) -> Record:
    from extensions.data import DatasetMissingError

    failure = Failure(
        type=type(error).__name__,
        message=explained(error, what=record.model),
        traceback=writable("".join(traceback.format_exception(error))),
    )
    status = "missing" if isinstance(error, DatasetMissingError) else "failed"
    return record.model_copy(update={"status": status, "error": failure, "metrics": {}})
