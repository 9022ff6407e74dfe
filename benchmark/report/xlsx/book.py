"""The order of the sheets, and which of them have something to show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import xlsxwriter

from benchmark.metrics.columns import BY_CATEGORY, FAILURES, LEADERBOARD
from benchmark.report.team_columns import KEYED, TeamColumns, row_keys
from benchmark.report.xlsx.about_sheet import add_about
from benchmark.report.xlsx.decision_sheet import add_decisions
from benchmark.report.xlsx.gallery_sheet import add_gallery
from benchmark.report.xlsx.scatter_sheet import write_charts
from benchmark.report.xlsx.sheets import Sheets
from benchmark.report.xlsx.team_sheet import add_team_columns
from benchmark.report.xlsx.threshold_sheet import add_thresholds
from benchmark.tables.augmentation_frames import AUGMENTATION
from benchmark.tables.leaderboard import Frames
from benchmark.tables.refinement_frames import REFINEMENT, ROUNDS

OPTIONS = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
MARK = "workbench_sheet"
"""Name that each sheet of ours defines for itself as its own name, so that it is known again in a team's workbook."""


def write_xlsx(tables: Frames, path: Path, *, links: str = ".", team: Mapping[str, TeamColumns] | None = None) -> None:
    """Write the sheets; of those below the ones that have something to show.

    Decision (what to put on the line), Leaderboard, Differences, Threshold (one a data set: live formulas), By
    category, Runs, Gallery, Chart, Refinement and Rounds (if training images were refined), Augmentation (if any were
    augmented), Backbones (if several were used or any was probed), Failures, About, and hidden Curves, from which
    Decision draws. Numbers are numbers with a format, blanks stay blank, texts are never formulas. Colors compare
    within one data set (and category): the greener the better.

    Args:
        tables: What to show.
        path: File to write.
        links: Folder of the records as seen from the workbook, before the files that cells link to.
        team: By sheet, columns that a team fills in; none in a workbook of our own.
    """
    with xlsxwriter.Workbook(str(path), OPTIONS) as book:
        book.set_size(2400, 1400)
        sheets = Sheets(book)
        curves = add_decisions(sheets, tables.decisions, links=links) if tables.decisions else None
        frames = {"Leaderboard": tables.leaderboard, "Runs": tables.runs}
        columns = {"Leaderboard": LEADERBOARD, "Runs": tuple(tables.runs.columns)}
        sheets.add("Leaderboard", tables.leaderboard, LEADERBOARD, frozen=3, compared=("dataset",))
        if len(tables.differences):
            sheets.add("Differences", tables.differences, tuple(tables.differences.columns), bold="told_apart")
        add_thresholds(sheets, tables.decisions)
        sheets.add("By category", tables.by_category, BY_CATEGORY, frozen=2, compared=("dataset", "category"))
        sheets.add("Runs", tables.runs, columns["Runs"])
        if tables.gallery:
            add_gallery(sheets, tables.gallery, links=links)
        write_charts(book, tables.leaderboard)
        _add_studies(sheets, tables)
        sheets.add("Failures", tables.failures, FAILURES)
        add_about(sheets, tables.about)
        if curves is not None:
            curves.write()
        for name in KEYED if team is not None else ():
            found = team.get(name, TeamColumns()) if team else TeamColumns()
            add_team_columns(sheets, name, row_keys(frames[name]), found, at=len(columns[name]))
        for sheet in book.worksheets():
            name = sheet.get_name()
            book.define_name(f"'{name}'!{MARK}", f'="{name}"')


def _add_studies(sheets: Sheets, tables: Frames) -> None:
    if len(tables.refinement):
        compared = ("dataset", "category", "contamination_ratio", "repeats", "detector")
        sheets.add("Refinement", tables.refinement, REFINEMENT, frozen=6, compared=compared)
        sheets.add("Rounds", tables.rounds, ROUNDS, frozen=7)
    if len(tables.augmentation):
        alike = ("dataset", "category", "detector")
        sheets.add("Augmentation", tables.augmentation, AUGMENTATION, frozen=5, compared=alike)
    if len(tables.backbones):
        columns = tuple(tables.backbones.columns)
        sheets.add("Backbones", tables.backbones, columns, frozen=3, compared=(), pages=3)
