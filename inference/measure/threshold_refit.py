"""The threshold and ranges of a quantized network, fitted anew in the way that gave those of the trained model."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.metrics.pixel import PixelMetrics
from benchmark.statistics.parts import judged_as_parts
from benchmark.statistics.requirement import read_requirement
from benchmark.statistics.thresholds import FittedThresholds, fit_thresholds
from inference.measure.labelled_images import LabelledImages
from inference.model.metadata import ModelInfo, Parts, Refitted, Scale
from inference.model.verdicts import unsure_share

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule
    from anomalib.post_processing import PostProcessor

    from inference.model.predictors import Predictor

# How far, as a part of the range of scores, the rule of the record may lead from the record's own threshold when it is
# applied to other images with the unchanged network: then these images can stand in for those it was fitted on.
STAND_IN = 0.05


@dataclass(frozen=True)
class Scored:
    """What a network says of images.

    Attributes:
        scores: (N,) raw.
        map_range: Least and largest value of the maps.
        pixel_threshold: With the highest F1 over all pixels; None without masks.
    """

    scores: np.ndarray
    map_range: tuple[float, float]
    pixel_threshold: float | None


def score(predictor: Predictor, images: LabelledImages, model: AnomalibModule) -> Scored:
    """Score images with a network.

    Args:
        predictor: Of the network.
        images: What it scores.
        model: What it was exported from: it prepares masks.

    Raises:
        ValueError: An image or a mask cannot be read.
        RuntimeError: The network cannot compute one.
    """
    from extensions.data.reading.pixels import read_pixels
    from extensions.runtime.progress import progress_bar

    scores = np.full(len(images.files), np.nan)
    low, high = np.inf, -np.inf
    pixels = PixelMetrics() if any(images.masks) else None
    imaging = predictor.info.imaging
    found = predictor.stream((place, read_pixels(file, imaging)) for place, file in enumerate(images.files))
    for place, outcome in progress_bar(found, total=len(scores), title="scoring", unit="image"):
        if isinstance(outcome, Exception):
            raise outcome
        scores[place] = outcome.pred_score
        one = outcome.anomaly_map
        low, high = min(low, float(one.min())), max(high, float(one.max()))
        mask = images.masks[place]
        if pixels is not None and (mask is not None or not images.is_anomalous[place]):
            marked = np.zeros(one.shape, bool) if mask is None else _mask(model, mask)
            counted = None if outcome.inside is None else outcome.inside[None]
            pixels.update(one[None], marked[None], np.zeros(1, int), counted=counted)
    return Scored(scores, (low, high), pixels.threshold() if pixels is not None else None)


def auroc(scored: Scored, images: LabelledImages) -> float | None:
    """Area under the ROC curve; None without both kinds of images."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(images.is_anomalous, scored.scores)) if images.has_both else None


def can_stand_in(info: ModelInfo, scored: Scored, images: LabelledImages) -> bool:
    """Whether the rule that gave a model's threshold gives it again, nearly, on other images.

    Normal images of the training set often cannot: a memory bank knows them by heart, and their scores are next to 0.

    Args:
        info: Of the model.
        scored: By the unchanged network.
        images: Those that were scored.
    """
    fitted = _fitted(info, scored, images)
    pairs = (fitted.lower, info.threshold), (_upper_of(fitted), info.upper_threshold)
    if fitted.lower is None or info.threshold is None or info.score_range is None:
        return False
    accepted = STAND_IN * (info.score_range[1] - info.score_range[0])
    return all(abs(found - told) <= accepted for found, told in pairs if found is not None and told is not None)


def refitted(info: ModelInfo, scored: Scored, images: LabelledImages, model: AnomalibModule) -> ModelInfo:
    """The facts of a network with thresholds, a pixel threshold and ranges of its own scores.

    The thresholds keep the requirement that those of the trained model keep. Without one the threshold is that of
    maximal F1 where the images are of both kinds, and the conformal quantile of normal ones where none is anomalous:
    the benchmark's rule, which gave the trained model's. Without masks the pixel threshold stays.

    Args:
        info: Of the trained model.
        scored: By the quantized network.
        images: Those that were scored.
        model: As trained; its sensitivities hold on.
    """
    from inference.model.scale import ImageThresholds, scale_of, told_source

    fitted, post, is_required = _fitted(info, scored, images), model.post_processor, info.requirement is not None
    lower, upper = fitted.lower, _upper_of(fitted)
    scores = float(scored.scores.min()), float(scored.scores.max())
    image = ImageThresholds(lower, upper, is_required=is_required)
    scale = scale_of(post, image, scored.pixel_threshold, scores, scored.map_range)
    if scored.pixel_threshold is None:
        scale["pixel_threshold"] = info.pixel_threshold
    parts = None if info.parts is None else _parts(info.parts, info, scored, images, post)
    return replace(
        info,
        **scale,
        parts=parts,
        threshold_source=fitted.source if lower is None else told_source(fitted.source, post, is_required=is_required),
        promise=fitted.promise or None if info.promise is not None else None,
        unsure=unsure_share(scored.scores, lower, upper) if info.unsure is not None else None,
        refitted=Refitted(
            on=str(images),
            pixel_threshold=scored.pixel_threshold is not None,
            trained=Scale(
                info.threshold,
                info.threshold_source,
                info.pixel_threshold,
                info.score_range,
                info.map_range,
                info.upper_threshold,
            ),
        ),
    )


def _fitted(info: ModelInfo, scored: Scored, images: LabelledImages) -> FittedThresholds:
    """Thresholds by the rule that gave the trained model's."""
    requirement = read_requirement(info.requirement)
    return fit_thresholds(images.is_anomalous, scored.scores, requirement, on=images.kind, groups=images.groups)


def _parts(parts: Parts, info: ModelInfo, scored: Scored, images: LabelledImages, post: PostProcessor | None) -> Parts:
    """With thresholds of the network's own scores; with none where the images are of no parts."""
    from inference.model.scale import ImageThresholds, scale_of

    if images.groups is None or parts.threshold is None:
        return replace(parts, threshold=None, upper_threshold=None, promise=None)
    requirement = read_requirement(info.requirement)
    labels, scores = judged_as_parts(images.is_anomalous, scored.scores, images.groups, parts.score)
    fitted = fit_thresholds(labels, scores, requirement, on=f"parts of {images.kind}", units="parts")
    image = ImageThresholds(fitted.lower, _upper_of(fitted), is_required=requirement is not None)
    span = float(scored.scores.min()), float(scored.scores.max())
    scale = scale_of(post, image, None, span, (math.nan, math.nan))
    return replace(
        parts,
        threshold=scale["threshold"],
        upper_threshold=scale["upper_threshold"],
        promise=fitted.promise or None if parts.promise is not None else None,
    )


def _upper_of(fitted: FittedThresholds) -> float | None:
    """None with one threshold, as a `ModelInfo` has it."""
    return fitted.upper if fitted.upper != fitted.lower else None


def _mask(model: AnomalibModule, path: Path) -> np.ndarray:
    """A mask as the network's map shows it, (h, w) bool: resized and cropped as the image."""
    import torch
    from torchvision.transforms.v2.functional import resize_mask
    from torchvision.tv_tensors import Image, Mask

    from extensions.data.imaging import imaging_of
    from extensions.data.reading.image_files import read_mask

    marks, tiling = torch.from_numpy(read_mask(path)), imaging_of(model).tiling
    if tiling is not None:  # maps are of whole images
        whole = marks if tiling.resize is None else resize_mask(marks[None], list(tiling.resize))[0]
        return np.asarray(whole.numpy() > 0)
    transform = model.pre_processor.transform
    _, mask = transform(Image(torch.zeros(imaging_of(model).n_channels, *marks.shape)), Mask(marks))
    return np.asarray(mask.numpy() > 0).reshape(mask.shape[-2:])
