"""The record that `--run` names, and what was run."""

from __future__ import annotations

from pathlib import Path

from benchmark.plan.experiment import Experiment
from benchmark.records.archive import load
from benchmark.records.record import Record
from benchmark.tables.best import best_run, is_best


def choose_record(asked: str, records: Path) -> tuple[Record, str]:
    """The record that a key, the beginning of one or `best` names, and why it is this one.

    Args:
        asked: As given to `--run`.
        records: Output folder of the benchmark.

    Raises:
        ValueError: There is not exactly one such run, or it did not finish.
    """
    archive = load(records)
    if is_best(asked):
        best = best_run(asked, archive, records)
        return best.record, best.told
    found = {record.key: record for record in archive.records if record.key.startswith(asked)}
    if len(found) != 1:
        keys = sorted(found)
        some = (", ".join(keys[:3]) or "none") + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
        msg = f"--run {asked}: expected one run with this key in {records / 'runs'}, found {some}"
        raise ValueError(msg)
    (record,) = found.values()
    if not record.is_finished:
        msg = f"--run {asked}: this run is {record.status}, so there is no model of it; choose a finished one"
        raise ValueError(msg)
    return record, ""


def recorded_experiment(record: Record, folder: Path) -> Experiment:
    """What was run, of which all that decides a result is in the record; `folder` is the record's, for an error.

    Raises:
        ValueError: The record does not say it.
    """
    told = record.experiment
    try:
        experiment = Experiment(
            told.model.on_disk(),
            told.data.on_disk(),
            told.trainer,
            told.seed,
            refinement=told.refinement,
            augmentation=[part.on_disk() for part in told.augmentation] or None,
        )
        _ = experiment.canonical
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"{folder}: the record does not say what was run ({type(error).__name__}: {error}); run it again"
        raise ValueError(msg) from error
    return experiment
