"""Thresholds that a user gives in place of a model's own."""

from __future__ import annotations

import logging
from dataclasses import replace

from extensions.data.part_score import WORST
from inference.model.metadata import ModelInfo

logger = logging.getLogger(__name__)

_OF_PARTS = ("threshold", "upper_threshold")


def check_given(threshold: float | None, upper: float | None) -> None:
    """Raise ValueError for an upper threshold that is below the other, or alone."""
    if upper is None:
        return
    if threshold is None:
        msg = f"--upper-threshold {upper:g}: expected --threshold with it; images between the two are unsure"
        raise ValueError(msg)
    if upper < threshold:
        msg = f"--upper-threshold {upper:g} is below --threshold {threshold:g}; expected it at or above: exchange them"
        raise ValueError(msg)


def judged_by(info: ModelInfo, threshold: float, upper: float | None = None) -> ModelInfo:
    """The facts of a model with these thresholds, of which nothing is promised.

    Args:
        info: Of the model.
        threshold: On raw scores.
        upper: Likewise; None judges by one, and is told where the model has two.
    """
    if info.upper_threshold is not None and upper is None:
        logger.warning(
            "--threshold %g takes the place of both thresholds of the model, %.6g and %.6g: no image is unsure (give "
            "--upper-threshold, too)", threshold, info.threshold, info.upper_threshold,
        )  # fmt: skip
    parts = info.parts
    if parts is not None:
        known = {"threshold": threshold, "upper_threshold": upper} if parts.score == WORST else dict.fromkeys(_OF_PARTS)
        parts = replace(parts, **known, promise=None)
    return replace(
        info,
        parts=parts,
        threshold=threshold,
        upper_threshold=upper,
        threshold_source="given",
        requirement=None,
        promise=None,
        unsure=None,
    )
