"""The best run of a data set: what `--run best` means, by the leaderboard's own ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.records.archive import Archive
from benchmark.records.record import Record
from benchmark.tables.export_commands import command
from benchmark.tables.leaderboard import build_tables
from benchmark.tables.ranking import best_of
from benchmark.tables.stored_scores import StoredScores

if TYPE_CHECKING:
    import pandas as pd

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
    found = best_runs(archive, output)
    chosen = [one for one in found if not name or name in (one.where, one.record.dataset.name)]
    if len(chosen) == 1:
        return chosen[0]
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


def best_runs(archive: Archive, output: Path) -> list[Best]:
    """The best run of each data set and category that has one, in the order of the leaderboard.

    Args:
        archive: Of an output folder.
        output: That folder, for the scores of the runs.
    """
    tables = build_tables(archive.records, archive.plans, stored=StoredScores(output))
    board = tables.leaderboard
    by_key = {record.key: record for record in archive.records if record.is_finished}
    found: list[Best] = []
    for _, row in board[board["rank"] == 1].drop_duplicates("dataset").iterrows():
        runs = [by_key[key] for key in row["run_keys"].split(";")]
        ties = _ties(tables.differences, row["dataset"])
        categories = list(dict.fromkeys(run.dataset.category for run in runs))
        for category in categories:
            of_one = [run for run in runs if run.dataset.category == category]
            where = f"{row['dataset']}/{category}" if len(categories) > 1 else row["dataset"]
            found.append(_best(where, of_one, ties))
    return found


def _ties(differences: pd.DataFrame, dataset: str) -> list[str]:
    """Labels of the rows that the test images do not tell from the first."""
    own = differences[(differences["dataset"] == dataset) & (differences["metric"] == "image_AUROC")]
    of_first = own[own["first"] == own["first"].iloc[0]] if len(own) else own
    return list(of_first.loc[of_first["told_apart"] == "no", "second"])


def _best(where: str, runs: Sequence[Record], ties: Sequence[str]) -> Best:
    record = best_of(runs)
    auroc = record.measured("image_AUROC")
    told = f"best on {where}: {record.detector}, run {record.key}, image AUROC {auroc:.4f}"
    if len(runs) > 1:
        told += f" (seed {record.seed}, the best of {len(runs)} seeds)"
    if ties:
        rest = f" and {len(ties) - N_NAMED} more" if len(ties) > N_NAMED else ""
        told += f"; cannot be told from it on these test images: {'; '.join(ties[:N_NAMED])}{rest}"
    return Best(where, record, told)
