"""The ensembles of a sweep: judged when their members have run, and given the sum of the members' latencies."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.one_run.judged_ensemble import JudgedMember, joined_speed, judge_ensemble
from benchmark.one_run.kept_maps import MAPS
from benchmark.one_run.options import RunOptions
from benchmark.one_run.preparation import Prepared, find_weights, keep_place, prepare
from benchmark.one_run.refitted_thresholds import with_requirement
from benchmark.plan.ensembles import PlannedEnsemble
from benchmark.records.archive import read_records
from benchmark.records.cells import counting
from benchmark.records.record import Record
from benchmark.records.record_file import write_record
from benchmark.records.store import KEEP, Store
from extensions.runtime.progress import progress_bar, say

logger = logging.getLogger(__name__)


def maps_wanted(store: Store, planned: Sequence[PlannedEnsemble], *, overwrite: str) -> tuple[str, ...]:
    """Ids of the experiments whose maps are needed for ensembles that have no record yet."""
    left = left_to_judge(store, planned, overwrite=overwrite)
    return tuple(sorted({member.experiment_id for one in left for member in one.members}))


def left_to_judge(store: Store, planned: Sequence[PlannedEnsemble], *, overwrite: str) -> list[PlannedEnsemble]:
    """Those that have no record yet."""
    done = {record.experiment_id for record in read_records(store.output) if record.is_finished and record.is_current}
    return [one for one in planned if overwrite == "all" or one.experiment.experiment_id not in done]


def judge_all(
    store: Store, planned: Sequence[PlannedEnsemble], *, options: RunOptions, progress: bool = False
) -> Counter[str]:
    """Judge those that have no record yet, and return how many ended with each status; one that cannot be is told."""
    counts: Counter[str] = Counter()
    if not planned:
        return counts
    runs = counting((one for one in read_records(store.output) if one.is_finished), by=lambda one: one.experiment_id)
    known: dict[str, Prepared] = {}
    for one in progress_bar(planned, title="ensembles", unit="ensemble", hidden=not progress):
        missing = [member for member in one.members if member.experiment_id not in runs]
        if missing:  # their own failures are told
            counts["not judged"] += 1
            continue
        first = one.members[0]
        if first.experiment_id not in known:
            known = {first.experiment_id: prepare(first, options.data_root)}  # planned ensembles come by data
        try:
            _judge(store, one, known[first.experiment_id], runs, options)
            counts["finished"] += 1
        except (OSError, ValueError) as error:
            logger.debug("not judged", exc_info=True)
            told = " ".join(str(error).split())
            logger.warning("ensemble of %s is not judged: %s", one.experiment.settings, told)
            counts["failed"] += 1
    done = counts["finished"]
    if done:
        say(f"{done} ensemble{'' if done == 1 else 's'} judged from the scores and maps of the runs")
    return counts


def _judge(store: Store, one: PlannedEnsemble, data: Prepared, runs: Mapping[str, Record], options: RunOptions) -> None:
    """Write the record of one, unless it is there.

    Raises:
        ValueError: Its members cannot be used.
    """
    if data.error is not None or data.fingerprint is None:
        raise ValueError(str(data.error))
    sha256, experiment = data.fingerprint.sha256, one.experiment
    weights = find_weights(
        replace(experiment, model=experiment.model_for(category=data.category, seed=experiment.seed))
    )
    key = experiment.key(weights_sha256=weights.sha256 if weights else None, data_sha256=sha256)
    prepared = replace(data, experiment=experiment, key=key, weights=weights)
    members = [JudgedMember(runs[member.experiment_id], store.output) for member in one.members]
    changed = [member.record.key for member in members if member.record.dataset.sha256 != sha256]
    if changed:
        msg = f"the images have changed since run {changed[0]}: run it again with --overwrite all"
        raise ValueError(msg)
    with store.lock(key):
        there = store.read(prepared.folder)
        if there is not None and there.is_finished and options.overwrite != "all":
            with_requirement(store, there, options.requirement)
            return
        with store.workspace() as workspace:
            record = judge_ensemble(
                prepared,
                members,
                workspace,
                combine=one.combine,
                sweep=options.sweep,
                requirement=options.requirement,
            )
            keep_place(prepared, workspace)
            store.commit(workspace, record)


def sum_latencies(store: Store) -> None:
    """Give each judged ensemble of a folder the sum of the times that its members have now."""
    with store.lock(KEEP):
        records = {record.key: record for record in read_records(store.output)}
        for record in records.values():
            parts = [records[key].speed for key in record.members if key in records]
            if not parts or len(parts) < len(record.members):
                continue
            told = joined_speed(parts).on_disk()
            times = {name: value for name, value in told.items() if name.startswith("latency_")}
            speed = record.speed.model_copy(update=times)
            folder = store.output / record.folder
            if speed != record.speed and folder.is_dir():  # a packed record has none
                write_record(folder, record.model_copy(update={"speed": speed}))


def drop_maps(store: Store, folders: Sequence[Path]) -> None:
    """Remove the maps of runs, by their folders; the scales stay."""
    with store.lock(KEEP):
        for folder in folders:
            (store.output / folder / MAPS).unlink(missing_ok=True)
