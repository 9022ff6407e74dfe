"""What the server says of a part: the verdict on the scores that it gave for its images."""

from __future__ import annotations

import json
import math
from typing import Any

from fastapi import HTTPException

from extensions.data.part_score import WORST, part_score
from inference.model.metadata import ModelInfo, Parts

MAX_IMAGES = 10_000
EXPECTED = 'expected {"scores": [1.25, 3.5]}, the pred_score of each image of the part'


def part_answer(info: ModelInfo, content: bytes) -> dict[str, Any]:
    """What `POST /part` says.

    Args:
        info: Of the model: it says what a part scores, and at which thresholds it is judged. A model of single images
            judges a part by its worst one.
        content: JSON, `scores`: the raw `pred_score` of each image of the part.

    Returns:
        JSON: `part_score` (`max`, `mean` or such as `top3`), `pred_score` (raw, of the part), `threshold` and
        `upper_threshold` (raw; null without one), `verdict` (good, defective or unsure; null without a threshold).

    Raises:
        HTTPException: 422 it holds no such scores.
    """
    try:
        scores = json.loads(content)["scores"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise HTTPException(422, f"these are no scores; {EXPECTED}") from None
    if not isinstance(scores, list) or not 0 < len(scores) <= MAX_IMAGES or not all(map(_is_score, scores)):
        raise HTTPException(422, f"scores must be a list of 1 to {MAX_IMAGES} finite numbers; {EXPECTED}")
    parts = info.parts or Parts(WORST, None, info.threshold, info.upper_threshold)
    score = part_score(scores, parts.score)
    return {
        "part_score": parts.score,
        "pred_score": score,
        "threshold": parts.threshold,
        "upper_threshold": parts.upper_threshold,
        "verdict": parts.verdict(score),
    }


def _is_score(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
