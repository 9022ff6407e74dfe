"""Writes what people read: leaderboard.csv, .xlsx, .html and plots."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.report.locks import ReportError, check_closed
from benchmark.tables.leaderboard import Frames


def write_reports(tables: Frames, output: Path, *, formats: Sequence[str]) -> list[Path]:
    """Write ``leaderboard.*`` in some of `FORMATS`, and the plots of the tables, into ``output``; return the paths.

    Raises:
        ReportError: A file is open in another program or cannot be written. The other formats are written all the same.
    """
    written, problems = [], []
    files = {f"leaderboard.{name}": FORMATS[name] for name in formats}
    for name, write in (files | _plots(tables)).items():
        path = output / name
        try:
            with _replacing(path) as temporary:
                write(tables, temporary, output)
        except (OSError, ReportError) as error:
            problems.append(_sentence(path, error, output))
        else:
            written.append(path)
    if problems:
        raise ReportError(" ".join(problems))
    return written


def write_csv(tables: Frames, path: Path, output: Path) -> None:
    """Leaderboard and categories with unrounded numbers, UTF-8.

    A text that begins with ``=``, ``+``, ``-`` or ``@`` gets an apostrophe before it, because a spreadsheet program
    would take it for a formula.
    """
    frame = tables.table
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = [_harmless(value) for value in frame[name]]
    frame.to_csv(path, index=False, lineterminator="\n", quoting=csv.QUOTE_MINIMAL, encoding="utf-8")


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def _write_xlsx(tables: Frames, path: Path, output: Path) -> None:
    from xlsxwriter.exceptions import FileCreateError

    from benchmark.report.xlsx import write_xlsx

    try:
        write_xlsx(tables, path)
    except FileCreateError as error:  # the library's name for an OSError, such as that of a full disk
        raise ReportError(getattr(error.args[0], "strerror", None) or error) from error


def _write_html(tables: Frames, path: Path, output: Path) -> None:
    from benchmark.report.html import write_html

    write_html(tables, path, output)


FORMATS: dict[str, Callable[[Frames, Path, Path], None]] = {
    "csv": write_csv,
    "xlsx": _write_xlsx,
    "html": _write_html,
}
"""Name of each format and what writes it: frames, file, output folder (for commands)."""


def _plots(tables: Frames) -> dict[str, Callable[[Frames, Path, Path], None]]:
    """Name of each plot for which there is something to draw, and what draws it."""
    from benchmark.tables.augmentation_frames import CHANGED

    found: dict[str, Callable[[Frames, Path, Path], None]] = {}
    for metric in CHANGED:
        if len(tables.augmentation) and tables.augmentation[f"{metric}_change"].notna().any():
            found[f"augmentation_{metric}.png"] = partial(_plot_augmentation, metric=metric)
    if tables.overall is not None:
        found["critical_difference.png"] = _plot_overall
    if tables.refinement.empty:
        return found
    from benchmark.report.plots import plot_ranking
    from benchmark.tables.refinement_frames import QUALITY

    if tables.refinement["score_auroc"].notna().any():
        found["refinement_ranking.png"] = lambda tables, path, _: plot_ranking(tables.refinement, path)
    for metric in QUALITY:
        if tables.rounds[metric].notna().any():
            found[f"refinement_{metric}.png"] = partial(_plot_rounds, metric=metric)
    return found


def _plot_overall(tables: Frames, path: Path, output: Path) -> None:
    from benchmark.report.plots import plot_critical_difference

    if tables.overall is not None:
        plot_critical_difference(tables.overall, path)


def _plot_augmentation(tables: Frames, path: Path, output: Path, *, metric: str) -> None:
    from benchmark.report.plots import plot_augmentation

    plot_augmentation(tables.augmentation, path, metric=metric)


def _plot_rounds(tables: Frames, path: Path, output: Path, *, metric: str) -> None:
    from benchmark.report.plots import plot_rounds

    plot_rounds(tables.rounds, path, metric=metric)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of ``path`` when all went well."""
    check_closed(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sentence(path: Path, error: Exception, output: Path) -> str:
    reason = error if isinstance(error, ReportError) else (getattr(error, "strerror", None) or error)
    return (
        f"{path} could not be written: {reason}. No result is lost: all records are in {output / 'runs'}; "
        f"write the tables again with `python -m benchmark table --output {output}`."
    )
