"""Thresholds and ranges of raw scores and maps as a post-processor tells and moves them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inference.model.metadata import ModelInfo

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule
    from anomalib.post_processing import PostProcessor

    from benchmark.records.record_sections import Thresholds

# A threshold found by maximal F1 may be the score of some image, whose label would be decided by rounding. So much of
# the range of scores below it, that image is anomalous in every engine. A threshold from a requirement lies between two
# scores and would lose its rate by that, so it stays.
MARGIN = 1e-5
LEVELS = ("image", "pixel")
_UNMOVED = 0.5  # anomalib's sensitivity moves a threshold on the normalized scale


@dataclass(frozen=True)
class ImageThresholds:
    """Image thresholds on raw scores as they were fitted, before a post-processor's sensitivity moves them.

    Attributes:
        lower: None or NaN where it is not known.
        upper: None with one threshold.
        is_required: Whether they keep a requirement.
    """

    lower: float | None
    upper: float | None = None
    is_required: bool = False


def told_scale(model: AnomalibModule) -> dict[str, Any]:
    """Values of a `ModelInfo` that a model's post-processor tells: one threshold, a pixel threshold, ranges."""
    post = model.post_processor
    if post is None or not hasattr(post, "image_min"):
        return dict.fromkeys(("threshold", "upper_threshold", "pixel_threshold", "score_range", "map_range"))
    told = [(float(getattr(post, f"{level}_min")), float(getattr(post, f"{level}_max"))) for level in LEVELS]
    return scale_of(post, ImageThresholds(float(post.image_threshold)), float(post.pixel_threshold), *told)


def scale_of(
    post: PostProcessor | None,
    image: ImageThresholds,
    pixel_threshold: float | None,
    score_range: tuple[float, float],
    map_range: tuple[float, float],
) -> dict[str, Any]:
    """Values of a `ModelInfo`: thresholds as a post-processor's sensitivities move them, less `MARGIN`, and ranges.

    Args:
        post: Of the model; None moves nothing.
        image: On raw scores.
        pixel_threshold: On raw maps; None or NaN where it is not known.
        score_range: Least and largest score; not finite where it is not known.
        map_range: The same for maps.
    """
    margin = 0.0 if image.is_required else MARGIN
    scores, maps = _known(score_range), _known(map_range)
    return {
        "threshold": _moved(image.lower, scores, _sensitivity(post, "image"), margin),
        "upper_threshold": _moved(image.upper, scores, _sensitivity(post, "image"), margin),
        "pixel_threshold": _moved(pixel_threshold, maps, _sensitivity(post, "pixel"), MARGIN),
        "score_range": scores,
        "map_range": maps,
    }


def with_thresholds(info: ModelInfo, model: AnomalibModule, found: Thresholds) -> ModelInfo:
    """The facts of a model whose image thresholds are these.

    A promise holds for thresholds as they were fitted: where the model's sensitivity moves them there is none.

    Args:
        info: Of the model.
        model: As trained; its sensitivity moves the thresholds.
        found: As a record has them.
    """
    post, span = model.post_processor, info.score_range or (math.nan, math.nan)
    image = ImageThresholds(found.image, found.upper, is_required=found.requirement is not None)
    scale = scale_of(post, image, None, span, (math.nan, math.nan))
    is_moved = _sensitivity(post, "image") != _UNMOVED
    parts = info.parts
    if parts is not None:
        own = scale_of(post, replace(image, lower=found.part, upper=found.part_upper), None, span, (math.nan, math.nan))
        parts = replace(
            parts,
            threshold=own["threshold"],
            upper_threshold=own["upper_threshold"],
            promise=None if is_moved else found.part_promise,
        )
    return replace(
        info,
        parts=parts,
        threshold=scale["threshold"],
        upper_threshold=scale["upper_threshold"],
        threshold_source=told_source(found.source, post, is_required=image.is_required),
        requirement=found.requirement,
        promise=None if is_moved else found.promise,
        unsure=None if is_moved else found.unsure,
    )


def told_source(source: str | None, post: PostProcessor | None, *, is_required: bool) -> str | None:
    """How thresholds were found, and what was done to them since; None where the former is not known."""
    if source is None:
        return None
    told = source if is_required else f"{source}, less {MARGIN:g} of the range of scores"
    sensitivity = _sensitivity(post, "image")
    return told if sensitivity == _UNMOVED else f"{told}, moved by the model's image_sensitivity {sensitivity:g}"


def _known(span: tuple[float, float]) -> tuple[float, float] | None:
    return span if all(map(math.isfinite, span)) else None


def _sensitivity(post: PostProcessor | None, level: str) -> float:
    return float(getattr(post, f"{level}_sensitivity", _UNMOVED))


def _moved(value: float | None, span: tuple[float, float] | None, sensitivity: float, margin: float) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    if span is None:
        return value - margin * abs(value)
    return value + (_UNMOVED - sensitivity - margin) * (span[1] - span[0])
