"""The verdicts on parts of several images: `parts.csv` beside the table of images."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from extensions.data.groups import check_group, parts_of
from extensions.data.part_score import WORST, check_part_score, part_score
from extensions.runtime.atomic_write import write_whole
from extensions.runtime.escaped import spreadsheet_name
from inference.model.metadata import ModelInfo, Parts
from inference.model.predictors import Prediction

PART_TABLE = "parts.csv"
PART_COLUMNS = ("part", "n_images", "n_errors", "pred_score", "threshold", "verdict", "worst_image")


@dataclass
class _Part:
    scores: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    n_errors: int = 0


def asked_parts(info: ModelInfo, group: str | None, how: str | None) -> Parts | None:
    """How the parts of this run are judged; None where none are named.

    Args:
        info: Of the model; it may know how names name parts, and the thresholds for what parts score.
        group: Given in its place: a regular expression, a .csv file, or `folder`.
        how: Given in place of what its parts score.

    Raises:
        ValueError: A group or a score that cannot be, or a score without a group.
    """
    check_group(group)
    if how is not None:
        check_part_score(how)
    known = info.parts
    if known is None:  # the worst image of a part is an image
        known = Parts(WORST, None, info.threshold, info.upper_threshold)
    asked = replace(known, group=group or known.group)
    if asked.group is None:
        if how is not None:
            msg = f"--part-score {how}: no parts are named; say by --group which images are of one part"
            raise ValueError(msg)
        return None
    if how not in (None, asked.score):
        asked = replace(asked, score=how, threshold=None, upper_threshold=None, promise=None)
    return asked


def parts_by_name(names: Sequence[str], folder: Path, group: str) -> dict[str, str]:
    """The part of each image, by its name below the input folder.

    Raises:
        DatasetError: Images that no part is named for, or a table that cannot be used.
    """
    found = parts_of([str(folder / name) for name in names], names, group, folder=Path(), name=str(folder))
    return dict(zip(names, found, strict=True))


class PartTable:
    """`parts.csv`: a row a part, in the order of their first images, written whole when the work ends.

    `pred_score` is raw; `verdict` is good, defective or unsure. It is blank without a threshold on what parts score,
    and for a part that would be good but has an image that could not be read.

    Args:
        folder: Output folder.
        parts: How they are judged.
        part_of: Of each image, by its name.
    """

    def __init__(self, folder: Path, parts: Parts, part_of: Mapping[str, str]) -> None:
        self.path = folder / PART_TABLE
        self._parts, self._part_of = parts, part_of
        self._found: dict[str, _Part] = {}

    def add(self, name: str, outcome: Prediction | str) -> None:
        """Add an image and what was found, or why nothing was."""
        part = self._found.setdefault(self._part_of[name], _Part())
        if isinstance(outcome, str):
            part.n_errors += 1
            return
        part.scores.append(outcome.pred_score)
        part.names.append(name)

    def close(self) -> None:
        """Write the file."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(PART_COLUMNS)
        threshold = "" if self._parts.threshold is None else repr(self._parts.threshold)
        for name, part in self._found.items():
            score, verdict = self._judged(part)
            worst = part.names[max(range(len(part.scores)), key=part.scores.__getitem__)] if part.scores else ""
            told = "" if score is None else f"{score:.9g}"
            counted = [len(part.scores) + part.n_errors, part.n_errors]
            shown = spreadsheet_name(worst) if worst else ""
            writer.writerow([spreadsheet_name(name), *counted, told, threshold, verdict, shown])
        write_whole(self.path, text.getvalue())

    def sentence(self) -> str:
        """What was found, and where to look at it."""
        verdicts = [self._judged(part)[1] for part in self._found.values()]
        n = len(verdicts)
        if self._parts.threshold is None:
            found = f"{n} parts scored by {self._parts.score}, for which the model has no threshold"
        else:
            found = f"{verdicts.count('defective')} of {n} parts are defective"
            found += f", {verdicts.count('unsure')} unsure" if self._parts.upper_threshold is not None else ""
            blank = verdicts.count("")
            found += f", {blank} without a verdict, for an image could not be read" if blank else ""
        return f"{found}: open {self.path}"

    def _judged(self, part: _Part) -> tuple[float | None, str]:
        if not part.scores:
            return None, ""
        score = part_score(part.scores, self._parts.score)
        verdict = self._parts.verdict(score) or ""
        return score, "" if verdict == "good" and part.n_errors else verdict


def remove_earlier_parts(output: Path) -> None:
    """Remove the table of an earlier run, known by its columns: it would stand beside other predictions."""
    path = output / PART_TABLE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            is_ours = next(csv.reader(file), None) == list(PART_COLUMNS)
    except (OSError, ValueError, csv.Error):
        return
    if is_ours:
        path.unlink(missing_ok=True)
