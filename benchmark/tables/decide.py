"""For each data set which detector to put on the line, with its reasons: see `Decision`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from benchmark.metrics.columns import shown_dataset
from benchmark.records.record import Record
from benchmark.records.record_sections import FALSE_ALARM, MISSED
from benchmark.statistics.requirement import STANDARD, Requirement
from benchmark.statistics.thresholds import operating_point
from benchmark.tables.choose import Choice, choose
from benchmark.tables.decision import Decision, LeadingRow, Thresholds
from benchmark.tables.decision_texts import how_sure, recommendation
from benchmark.tables.differences import Compared
from benchmark.tables.export_commands import command
from benchmark.tables.gallery import DEFECTIVE, GOOD, UNSURE, GalleryImage, called
from benchmark.tables.judged_row import JudgedRow
from benchmark.tables.next_steps import next_steps
from benchmark.tables.ranking import best_of
from benchmark.tables.stored_scores import StoredScores

N_LEADING = 3
EXAMPLES = ((MISSED,), (FALSE_ALARM,), ("typical defective", "typical good", "best"))
"""Kinds of gallery images of which a decision shows one each, the first that there is."""


def decide(
    rows: Sequence[JudgedRow],
    compared: Sequence[Compared],
    requirement: Requirement | None,
    stored: StoredScores,
    *,
    reasons: dict[str, str],
) -> list[Decision]:
    """A decision a data set, in the order of the leaderboard.

    Args:
        rows: Of the leaderboard, of each data set the best first.
        compared: Their pairs.
        requirement: None recommends the row with rank 1 and shows the standard points.
        stored: The scores of the runs.
        reasons: By data set why no row of it has a rank.
    """
    found = []
    for dataset in dict.fromkeys(row.dataset for row in rows):
        own = [row for row in rows if row.dataset == dataset]
        name = shown_dataset(dataset, synthetic=bool(own[0].line["synthetic"]))
        pairs = [one for one in compared if one.first.dataset == dataset]
        choice = choose(own, pairs, requirement)
        if choice is None:
            found.append(Decision(dataset=name, recommendation=(reasons.get(dataset, ""),), points=()))
            continue
        leading = [choice.best, *choice.ties][:N_LEADING]
        rows_told = tuple(one for row in leading if (one := _leading(row, requirement, stored)) is not None)
        found.append(
            Decision(
                dataset=name,
                recommendation=recommendation(choice, is_drawn=bool(own[0].line["synthetic"])),
                points=_points(choice.best, requirement),
                how_sure=how_sure(choice),
                next_steps=(
                    *next_steps(choice, pairs, is_required=requirement is not None),
                    *_other_categories(choice, rows_told),
                ),
                leading=rows_told,
                command=_command(choice.best, requirement, stored),
            )
        )
    return found


def _command(best: JudgedRow, requirement: Requirement | None, stored: StoredScores) -> str:
    """Exports the model with the thresholds that the decision tells of."""
    record, asked = _run(best), requirement or STANDARD[0]
    is_kept = best.point is None or record.thresholds.requirement == asked.on_disk
    return command(record.key, stored.output, requirement=None if is_kept else asked)


def with_examples(decision: Decision, images: Sequence[GalleryImage]) -> Decision:
    """The decision with one missed, one false alarm and one typical of its recommended run's images.

    They are called what the decision's thresholds make of them, which may be others than those they were drawn at.
    """
    thresholds = decision.leading[0].thresholds if decision.leading else None
    judged = images if thresholds is None else [one for image in images for one in _called(image, thresholds)]
    found = []
    for kinds in EXAMPLES:
        found += [image for kind in kinds for image in judged if image.kind == kind][:1]
    return replace(decision, examples=tuple(found))


def _called(image: GalleryImage, thresholds: Thresholds) -> list[GalleryImage]:
    """The image as these thresholds call it; none where it is no example of what it was drawn for any more."""
    verdict = called(image.score, thresholds.lower, thresholds.upper)
    kind = {(DEFECTIVE, GOOD): MISSED, (GOOD, DEFECTIVE): FALSE_ALARM}.get((image.truth, verdict), image.kind)
    if kind in (MISSED, FALSE_ALARM) and verdict in (image.truth, UNSURE):
        return []
    return [replace(image, kind=kind, called=verdict, threshold=thresholds.lower)]


def _points(best: JudgedRow, requirement: Requirement | None) -> tuple:
    if best.samples is None:
        return ()
    asked = STANDARD if requirement is None else (requirement,)
    known = best.calibration
    found = [operating_point(best.samples, one, calibration=known) for one in asked]
    return tuple(point for point in found if point is not None)


def _run(row: JudgedRow) -> Record:
    """The run that the export command takes: of the first category the best seed."""
    first = min(record.dataset.category for record in row.runs)
    return best_of([record for record in row.runs if record.dataset.category == first])


def _leading(row: JudgedRow, requirement: Requirement | None, stored: StoredScores) -> LeadingRow | None:
    record = _run(row)
    scores = stored.of(record)
    if scores is None:
        return None
    return LeadingRow(
        label=row.label,
        model=str(row.line["model"]),
        backbone=str(row.line["backbone"]),
        settings=str(row.line["settings"]),
        place=str(row.line.get("rank_range") or row.rank or ""),
        key=record.key,
        scores=pd.DataFrame(
            {
                "category": record.dataset.category,
                "image": scores.ids,
                "label": scores.labels,
                "kind": scores.kinds,
                "score": scores.scores,
            }
        ),
        thresholds=_thresholds(record, requirement, stored),
        point=row.point,
    )


def _thresholds(record: Record, requirement: Requirement | None, stored: StoredScores) -> Thresholds | None:
    """Those that the record keeps or, at another requirement, those that its export fits to the stored scores."""
    kept, asked = record.thresholds, requirement or STANDARD[0]
    found = kept if kept.requirement == asked.on_disk else stored.thresholds(record, asked)
    if found is None or found.image is None:
        return None
    upper = found.image if found.upper is None else found.upper
    return Thresholds(lower=found.image, upper=upper, source=found.source or "")


def _other_categories(choice: Choice, leading: Sequence[LeadingRow]) -> tuple[str, ...]:
    categories = sorted({record.dataset.category for record in choice.best.runs})
    if len(categories) < 2 or not leading:
        return ()
    return (
        f"Each of the {len(categories)} categories has a model and thresholds of its own: curves and command are those "
        f"of {categories[0]}; the commands of the others are in the leaderboard of the page.",
    )
