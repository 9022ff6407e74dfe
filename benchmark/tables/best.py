"""The best run of a data set: what `--run best` means, by the leaderboard's own ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.records.archive import Archive
from benchmark.records.record import Record
from benchmark.tables.differences import RANKED_BY, compare_rows
from benchmark.tables.export_commands import command
from benchmark.tables.judged_row import with_samples
from benchmark.tables.leaderboard import build_tables, ranked_lines
from benchmark.tables.ranking import best_of
from benchmark.tables.stored_scores import StoredScores

BEST = "best"
N_NAMED = 3


@dataclass(frozen=True)
class Best:
    """A run of the row with rank 1.

    Attributes:
        where: Data set, or data set/category where it has several.
        record: Of the run.
        told: One sentence: what it is and why this one.
    """

    where: str
    record: Record
    told: str


def is_best(asked: str) -> bool:
    """Whether `--run` asks for the best run and not for a key."""
    return asked == BEST or asked.startswith(f"{BEST}:")


def best_run(asked: str, archive: Archive, output: Path) -> Best:
    """The run that `best` or `best:NAME` names; NAME is a data set, or data set/category.

    Args:
        asked: As given to `--run`.
        archive: Of an output folder.
        output: That folder, for messages.

    Raises:
        ValueError: There is none, or more than one; those that there are are listed with a command.
    """
    name = asked.partition(":")[2]
    found = best_runs(archive)
    chosen = [one for one in found if not name or name in (one.where, one.record.dataset.name)]
    if len(chosen) == 1:
        return _with_ties(chosen[0], ties(archive, output, dataset=chosen[0].record.dataset.name))
    if not found:
        msg = (
            f"--run {asked}: no run in {output} has a rank (it needs images with and without defects to test on, "
            "and every run of its row finished and converged); choose a run by its key, in the column run_keys of "
            f"{output / 'leaderboard.csv'}"
        )
        raise ValueError(msg)
    listed = "; ".join(f"{BEST}:{one.where} is {one.record.detector}, run {one.record.key}" for one in found)
    first = (chosen or found)[0].where
    expected = "several data sets have one" if chosen else f"there is no {name!r} among those that have one"
    msg = f"--run {asked}: {expected}: {listed}; for instance: {command(f'{BEST}:{first}', output)}"
    raise ValueError(msg)


def best_runs(archive: Archive) -> list[Best]:
    """The best run of each data set and category that has one, in the order of the leaderboard."""
    board = build_tables(archive.records, archive.plans).leaderboard
    by_key = {record.key: record for record in archive.records if record.is_finished}
    found: list[Best] = []
    for _, row in board[board["rank"] == 1].drop_duplicates("dataset").iterrows():
        runs = [by_key[key] for key in row["run_keys"].split(";")]
        categories = list(dict.fromkeys(run.dataset.category for run in runs))
        for category in categories:
            of_one = [run for run in runs if run.dataset.category == category]
            where = f"{row['dataset']}/{category}" if len(categories) > 1 else row["dataset"]
            found.append(_best(where, of_one))
    return found


def ties(archive: Archive, output: Path, *, dataset: str) -> list[str]:
    """Labels of the rows that the test images do not tell from the first of a data set by image AUROC."""
    rows, means, _ = ranked_lines(archive.records, archive.plans)
    own = with_samples([line for line in means if line["dataset"] == dataset], rows, StoredScores(output))
    pairs = compare_rows(own, metrics=(RANKED_BY,))
    return [one.second.label for one in pairs if one.first is own[0] and one.found is not None and not one.told_apart]


def _best(where: str, runs: Sequence[Record]) -> Best:
    record = best_of(runs)
    auroc = record.measured("image_AUROC")
    told = f"best on {where}: {record.detector}, run {record.key}, image AUROC {auroc:.4f}"
    if len(runs) > 1:
        told += f" (seed {record.seed}, the best of {len(runs)} seeds)"
    return Best(where, record, told)


def _with_ties(best: Best, labels: Sequence[str]) -> Best:
    if not labels:
        return best
    more = f" and {len(labels) - N_NAMED} more" if len(labels) > N_NAMED else ""
    told = f"{best.told}; on these test images it cannot be told from {'; '.join(labels[:N_NAMED])}{more}"
    return replace(best, told=told)
