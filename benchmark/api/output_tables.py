"""The tables of an output folder: as files for people, or as frames."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.records.archive import load
from benchmark.report.write import FORMATS, write_reports
from benchmark.statistics.requirement import Requirement, read_requirement
from benchmark.tables.augmentation_frames import augmentation_frame
from benchmark.tables.decide import with_examples
from benchmark.tables.decision import Decision
from benchmark.tables.frames import Frames
from benchmark.tables.gallery import gallery
from benchmark.tables.leaderboard import build_tables
from benchmark.tables.stored_scores import StoredScores

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

DEFAULT_OUTPUT = Path("output/notebook")


def write_tables(
    output: Path,
    *,
    formats: Sequence[str] = tuple(FORMATS),
    tables: Frames | None = None,
    into: Path | None = None,
) -> list[Path]:
    """Write ``leaderboard.*`` from the records in ``output``, and plots beside them; return the paths.

    Args:
        output: Folder of ``benchmark run``.
        formats: Which to write.
        tables: Of `output_tables`; default: those at the requirement of the newest sweep.
        into: A team's own workbook, in which our sheets are written or refreshed, too; see
            `benchmark.report.into.write_into`.

    Raises:
        ReportError: A file is open in another program or cannot be written. The other formats are written all the same.
    """
    tables = tables or output_tables(output)
    written = write_reports(tables, output, formats=formats)
    if into is not None:
        from benchmark.report.into import write_into

        write_into(tables, into, output)
        written.append(into)
    return written


def output_tables(output: Path, *, requirement: Requirement | None = None) -> Frames:
    """All tables of an output folder, with the images of its gallery; what cannot be read is logged.

    Args:
        output: Folder of ``benchmark run``.
        requirement: What missed defects and false alarms are counted at; default: that of the newest sweep.
    """
    archive = load(output)
    stored = StoredScores(output)
    tables = build_tables(
        archive.records,
        archive.plans,
        probes=archive.probes,
        warnings=archive.warnings,
        stored=stored,
        requirement=requirement,
    )
    for sentence in (*archive.warnings, *stored.sentences):
        logger.warning("%s: %s", output, sentence)
    runs = {record.key: record for record in archive.records if record.is_finished}
    decisions = [
        with_examples(one, gallery([(1, runs[one.leading[0].key])], output)) if one.leading else one
        for one in tables.decisions
    ]
    return replace(tables, gallery=gallery(tables.leading, output), decisions=decisions)


def read_decisions(
    output: Path | str = DEFAULT_OUTPUT, *, requirement: Mapping[str, Any] | None = None
) -> list[Decision]:
    """For each data set of an output folder which detector to put on the line, with its reasons.

    Args:
        output: Folder of ``benchmark run``.
        requirement: What the line asks for, as a configuration has it, such as ``{"max_false_alarms": 0.02}``; default:
            that of the newest sweep.

    Raises:
        ValueError: The requirement cannot be read; one sentence says what was expected.
    """
    return output_tables(Path(output), requirement=read_requirement(requirement)).decisions


def read_augmentation(output: Path | str = DEFAULT_OUTPUT) -> pd.DataFrame:
    """What each augmentation in an output folder changes, see `benchmark.tables.augmentation_frames`."""
    return augmentation_frame(load(Path(output)).records)


def read_leaderboard(output: Path | str = DEFAULT_OUTPUT) -> pd.DataFrame:
    """The leaderboard of an output folder as a frame, one row per model, backbone, settings and data set."""
    archive = load(Path(output))
    stored = StoredScores(Path(output))
    return build_tables(archive.records, archive.plans, warnings=archive.warnings, stored=stored).leaderboard
