"""What a smaller precision costs and gains: labels and AUROC against fp32, images a second on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inference.measure.agreement import AUROC_DROP, flips_accepted
from inference.measure.labelled_images import LabelledImages
from inference.measure.speed import network_speed
from inference.measure.summary import Costs, Quantized, Summary
from inference.measure.threshold_refit import auroc, can_stand_in, refitted, score
from inference.model.metadata import ModelInfo
from inference.model.verdicts import n_differing

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

    from inference.model.predictors import OpenVinoPredictor

SPEED_SECONDS = 0.6  # of each of two turns of both networks
SPEED_BATCH = 8
NOTICEABLE = 1.05  # times as fast: less is noise


def own_threshold(
    model: AnomalibModule,
    full: OpenVinoPredictor,
    small: OpenVinoPredictor,
    fitted_on: LabelledImages | None,
    labelled: LabelledImages | None,
    stand_in: LabelledImages | None = None,
) -> tuple[ModelInfo, Costs]:
    """The facts of a quantized network with thresholds and ranges of its own, and what its labels cost.

    Args:
        model: As trained.
        full: The network at fp32.
        small: The same, quantized; with the facts of the trained model.
        fitted_on: Images to fit on; None leaves everything as it was.
        labelled: Images to judge on; None judges on those it was fitted on, which `quantized` says.
        stand_in: Other images for the same rule, where the former are not at hand: used where the rule gives the
            trained threshold back on them with the unchanged network.

    Returns:
        The facts, and for the summary `labelled_auroc` (where images of both kinds are judged) and `quantized`.
    """
    if fitted_on is None and stand_in is not None and can_stand_in(full.info, score(full, stand_in, model), stand_in):
        fitted_on = stand_in
    if fitted_on is None:
        return small.info, Costs()
    fitted = score(small, fitted_on, model)
    info = refitted(small.info, fitted, fitted_on, model)
    judged = labelled or fitted_on
    found = {"fp32": score(full, judged, model), "int8": fitted if judged is fitted_on else score(small, judged, model)}
    n_flipped = None
    if full.info.threshold is not None and info.threshold is not None:
        n_flipped = n_differing(
            found["fp32"].scores,
            found["int8"].scores,
            (full.info.threshold, full.info.upper_threshold),
            (info.threshold, info.upper_threshold),
        )
    uppers = {"fp32": full.info.upper_threshold, "int8": info.upper_threshold}
    quantized = Quantized(
        threshold={"fp32": full.info.threshold, "int8": info.threshold},
        threshold_source=info.threshold_source,
        fitted_on=str(fitted_on),
        judged_on=str(judged),
        judged_on_fitted=judged is fitted_on,
        n_images=len(judged.files),
        n_flipped=n_flipped,
        upper_threshold=uppers if any(one is not None for one in uppers.values()) else None,
    )
    aurocs = {name: auroc(scored, judged) for name, scored in found.items()} if judged.has_both else None
    return info, Costs(quantized, aurocs)


def is_kept(costs: Costs) -> bool:
    """Whether a quantized network keeps AUROC and labels, as far as they were looked at."""
    if costs.quantized is None:
        return True
    flipped, values = costs.quantized.n_flipped, costs.labelled_auroc or {}
    full, small = values.get("fp32"), values.get("int8")
    keeps_order = full is None or small is None or full - small <= AUROC_DROP
    return keeps_order and (flipped is None or flipped <= flips_accepted(costs.quantized.n_images))


def speeds(full: OpenVinoPredictor, small: OpenVinoPredictor, image: Path) -> dict[str, float]:
    """Images a second of both networks alone, in turns of a moment: enough to say which is faster."""
    from extensions.data.reading.pixels import read_pixels

    pixels, tiling = read_pixels(image, full.info.imaging), full.info.tiling
    if tiling is not None:
        pixels = pixels[: tiling.tile[0], : tiling.tile[1]]
    images = np.stack([pixels] * SPEED_BATCH)
    turns = [
        [network_speed(one.compiled, images, SPEED_SECONDS).images_per_second for one in (full, small)]
        for _ in range(2)
    ]
    return dict(zip(("fp32", "int8"), np.max(turns, axis=0).tolist(), strict=True))


def cost_sentence(costs: Costs) -> str:
    """What was found, for a person; empty when nothing was."""
    parts = []
    if quantized := costs.quantized:
        told = {
            name: _told(one, (quantized.upper_threshold or {}).get(name)) for name, one in quantized.threshold.items()
        }
        on = "the same images" if quantized.judged_on_fitted else quantized.judged_on
        word = "threshold" if quantized.upper_threshold is None else "thresholds"
        parts.append(
            f"{word} {told['int8']} fitted anew (trained: {told['fp32']}): {quantized.threshold_source}, on "
            f"{quantized.fitted_on}"
        )
        if quantized.n_flipped is not None:
            accepted = flips_accepted(quantized.n_images)
            what = "labels" if quantized.upper_threshold is None else "verdicts"
            parts.append(f"{quantized.n_flipped} of {quantized.n_images} {what} flipped on {on} (accepted: {accepted})")
    if aurocs := costs.labelled_auroc:
        values = ", ".join(f"{name} {value:.4f}" for name, value in aurocs.items())
        parts.append(f"image AUROC {values}" + (f" (accepted: {AUROC_DROP} less)" if quantized else ""))
    return "; ".join(parts)


def _told(threshold: float | None, upper: float | None) -> str:
    if threshold is None:
        return "none"
    return f"{threshold:.6g}" if upper is None else f"{threshold:.6g} and {upper:.6g}"


def is_faster(fp32: float, int8: float) -> bool:
    """Whether int8 gains something, in images a second; so little more as is noise is none."""
    return int8 >= NOTICEABLE * fp32


def speed_sentence(fp32: float, int8: float) -> str:
    """Which of the two is faster on this machine, and which to take."""
    told = f"({int8:.3g} against {fp32:.3g} images/s)"
    if is_faster(fp32, int8):
        return f"int8 is {int8 / fp32:.1f} times as fast as fp32 on this machine {told}"
    word = "slower" if int8 * NOTICEABLE < fp32 else "not faster"
    return f"int8 is {word} than fp32 on this machine {told}: take fp32 here"


def told_of_int8(summary: Summary, *, precision: str) -> str:
    """Lines for a terminal: what was fitted anew, what it costs and gains, and what to give where it was not fitted."""
    lines = [cost_sentence(summary.costs)]
    if precision == "int8" and summary.costs.quantized is None and summary.threshold is not None:
        lines.append(
            "the threshold is that of the trained model and was not fitted anew, for the images it was fitted on are "
            "not at hand, and int8 moves scores: give --labelled DIR (good/ and others), or --data-root for a run"
        )
    if speed := summary.costs.images_per_second:
        lines.append(speed_sentence(**speed))
    return "\n".join(filter(None, lines))
