"""The thresholds that a record and its checkpoint carry, from the scores of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.records.record_sections import Thresholds
from benchmark.statistics.parts import judged_as_parts
from benchmark.statistics.requirement import Requirement
from benchmark.statistics.thresholds import FittedThresholds, fit_cross_conformal, fit_thresholds
from extensions.data.groups import GROUP
from extensions.data.part_score import WORST

if TYPE_CHECKING:
    import pandas as pd

NO_FOLD = -1
"""The fold of an image that was scored by the run's own model."""


def kept_thresholds(
    scores: pd.DataFrame,
    requirement: Requirement | None,
    *,
    calibration: pd.DataFrame | None = None,
    part_score: str | None = None,
) -> Thresholds:
    """Image thresholds of a run, see `benchmark.statistics.thresholds.fit_thresholds`; those of pixels are left out.

    Args:
        scores: A row a test image: label (0 good, 1 defective), score (raw, higher is more anomalous), and group, the
            part that it is of, where parts are named.
        requirement: What they keep; None for none.
        calibration: As `benchmark.records.packed.read_calibration` gives it; None fits on the test images.
        part_score: What a part scores where parts are named, see `extensions.data.part_score`; None for that of its
            worst image.
    """
    used = usable_calibration(calibration, requirement)
    rows, on = (scores, "test images") if used is None else (used, "calibration images")
    of_parts = _of_parts(rows, requirement, on, part_score or WORST)
    if requirement is not None and requirement.cross_conformal is not None:
        crossed = _section(_cross_fitted(used, requirement), requirement)
        return crossed.model_copy(update=of_parts if used is not None else {})
    labels, values = rows["label"].to_numpy(), rows["score"].to_numpy()
    fitted = fit_thresholds(labels, values, requirement, on=on, groups=_groups(rows))
    unsure = None
    if fitted.lower is not None and fitted.upper is not None and requirement is not None and requirement.has_band:
        unsure = float(((values >= fitted.lower) & (values < fitted.upper)).mean())
    return _section(fitted, requirement, unsure).model_copy(update=of_parts)


def _of_parts(rows: pd.DataFrame, requirement: Requirement | None, on: str, how: str) -> dict[str, Any]:
    """Thresholds on what parts score; none where no parts are named."""
    groups = _groups(rows)
    if groups is None:
        return {}
    labels, values = judged_as_parts(rows["label"].to_numpy(), rows["score"].to_numpy(), groups, how)
    if requirement is not None and requirement.cross_conformal is not None:
        fitted = fit_cross_conformal(values, requirement, units="parts")
    else:
        fitted = fit_thresholds(labels, values, requirement, on=f"parts of {on}", units="parts")
    told: dict[str, Any] = {"part": fitted.lower}
    told |= {"part_upper": fitted.upper} if fitted.upper != fitted.lower else {}
    return told | ({"part_promise": fitted.promise} if fitted.promise else {})


def usable_calibration(calibration: pd.DataFrame | None, requirement: Requirement | None) -> pd.DataFrame | None:
    """The images that thresholds are fitted on for this requirement; None where those are the test images.

    Scores of training images, each by a model that had not seen it, serve the requirement that asked for as many folds.
    """
    asked = requirement.cross_conformal if requirement is not None else None
    if calibration is None or calibration.empty:
        return None
    n_folds = int(calibration["fold"].max()) + 1 if calibration["fold"].max() != NO_FOLD else None
    return calibration if n_folds == asked else None


def _cross_fitted(rows: pd.DataFrame | None, requirement: Requirement) -> FittedThresholds:
    if rows is None:
        source = f"none, for no training images were scored in {requirement.cross_conformal} folds"
        return FittedThresholds(lower=None, upper=None, source=source, promise="", supported=False)
    return fit_cross_conformal(rows["score"].to_numpy(), requirement, groups=_groups(rows))


def _groups(rows: pd.DataFrame) -> list[str] | None:
    return rows[GROUP].astype(str).tolist() if GROUP in rows else None


def _section(fitted: FittedThresholds, requirement: Requirement | None, unsure: float | None = None) -> Thresholds:
    told: dict[str, Any] = {"image": fitted.lower, "source": fitted.source}
    told |= {"promise": fitted.promise} if fitted.promise else {}
    told |= {"requirement": requirement.on_disk} if requirement is not None else {}
    told |= {"unsure": unsure} if unsure is not None else {}
    return Thresholds(**told | ({"upper": fitted.upper} if fitted.upper != fitted.lower else {}))
