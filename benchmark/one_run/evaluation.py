"""One pass over the test set: raw scores and maps become metrics, thresholds and the images worth seeing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from benchmark.metrics.folds import stratified_folds
from benchmark.metrics.image import auroc_by_kind, decision_metrics, image_metrics
from benchmark.metrics.pixel import PixelMetrics
from benchmark.one_run.example_images import ImageKeeper
from benchmark.records.kept_thresholds import kept_thresholds
from benchmark.records.record_sections import Files, Thresholds
from benchmark.records.run_files import CALIBRATION, RESAMPLES, SCORES, write_text
from benchmark.statistics.requirement import Requirement
from benchmark.statistics.resampling import resample_counts
from extensions.data.groups import GROUP
from extensions.data.score_pooling import ScorePooling
from extensions.models.common.inside import find_inside
from extensions.models.common.region_mixin import inside_of
from extensions.models.common.score_pooling import pooled_scores

if TYPE_CHECKING:
    import pandas as pd
    from anomalib.models import AnomalibModule

    from benchmark.one_run.kept_maps import MapCollector

FOLD_SEED = 0


@dataclass
class Evaluation:
    """What one pass over the test set gave.

    Attributes:
        scores: One row an image: image (path relative to the data root), label, kind, score (raw, higher is more
            anomalous), fold, and group where parts are named.
        metrics: Name to value, None where it cannot be computed.
        thresholds: With `label_free` where the model has a threshold of its own.
        ranges: `(min, max)` of raw scores and of raw map values, for anomalib's normalization.
        image_size: `(height, width)` that the network saw.
        medians: Of the scores of the good and of the defective images; None where there are none.
        resamples: Pixel metrics of drawn test sets, a row a draw, see `benchmark.records.run_files.RESAMPLES`; None
            where there are none.
    """

    scores: pd.DataFrame
    metrics: dict[str, float | None]
    thresholds: Thresholds
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    image_size: tuple[int, int] = (0, 0)
    medians: tuple[float | None, float | None] = (None, None)
    resamples: pd.DataFrame | None = None


class ScoreCollector(Callback):
    """Takes raw scores and maps from each test batch, before anomalib's post-processor changes them.

    Callbacks of the trainer run before those that a model brings; the post-processor is one of the latter.

    Args:
        samples: One row a test image: path (absolute), image, label, kind, and group where parts are named.
        with_masks: Whether the data set has pixel masks.
        n_images: How many images of each kind to keep for drawing.
        kept: Is handed all maps.
        poolings: Other ways to take scores from the same maps, by name: see `rescored`.
    """

    def __init__(
        self,
        samples: pd.DataFrame,
        *,
        with_masks: bool,
        n_images: int = 0,
        kept: MapCollector | None = None,
        poolings: Mapping[str, ScorePooling] | None = None,
    ) -> None:
        self.samples = samples.reset_index(drop=True)
        self.samples["fold"] = stratified_folds(
            self.samples["label"].to_numpy(),
            seed=FOLD_SEED,
            groups=self.samples["kind"].tolist(),
            ids=self.samples["image"].tolist(),
            units=self.samples[GROUP].tolist() if GROUP in self.samples else None,
        )
        self.samples["score"] = np.nan
        self._row = {path: row for row, path in enumerate(self.samples["path"])}
        self._pixel = PixelMetrics() if with_masks else None
        self._map_range = (np.inf, -np.inf)
        self._image_size = (0, 0)
        self.images = ImageKeeper(n_images)
        self._resampled: list[pd.DataFrame | None] = []  # once they were computed
        self._poolings = dict(poolings or {})
        self._others = {
            name: ScoreCollector(samples.copy(), with_masks=False, n_images=n_images) for name in self._poolings
        }
        self._kept = kept

    def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:  # noqa: D102 - a hook
        rows = [self._row[str(path)] for path in outputs.image_path]
        scores = outputs.pred_score.detach().float().cpu().numpy().reshape(len(rows))  # (N,)
        self._image_size = (int(outputs.image.shape[-2]), int(outputs.image.shape[-1]))
        if outputs.anomaly_map is None:
            self._take(rows, scores, None, None)
            return
        maps = outputs.anomaly_map.detach().float().cpu().numpy()
        maps = maps.reshape(len(rows), *maps.shape[-2:])  # (N, H, W)
        found = inside_of(pl_module, outputs.image)  # (1 or N, 1, H, W)
        inside = None if found is None else np.broadcast_to(found[:, 0].cpu().numpy(), maps.shape)
        seen = maps if inside is None else maps[inside]
        self._map_range = (min(self._map_range[0], float(seen.min())), max(self._map_range[1], float(seen.max())))
        masks = None
        if self._pixel is not None and outputs.gt_mask is not None:
            masks = outputs.gt_mask.detach().cpu().numpy().reshape(maps.shape) > 0  # (N, H, W)
            folds = self.samples.loc[rows, "fold"].to_numpy()
            self._pixel.update(maps, masks, folds, rows=np.array(rows), counted=inside)
        if self._kept is not None:
            self._kept.take(rows, maps, masks)
        self._take(rows, scores, maps, masks, inside)
        for name, pooling in self._poolings.items():
            of_batch = find_inside(pl_module.model, outputs.image)
            others = pooled_scores(outputs.anomaly_map.detach(), pooling, of_batch).cpu().numpy()
            self._others[name]._take(rows, others, maps, masks, inside)

    def _take(
        self,
        rows: list[int],
        scores: np.ndarray,
        maps: np.ndarray | None,
        masks: np.ndarray | None,
        inside: np.ndarray | None = None,
    ) -> None:
        self.samples.loc[rows, "score"] = scores
        self.images.offer(self.samples.loc[rows], maps, masks, inside)

    def rescored(self, name: str) -> ScoreCollector | None:
        """What the same pass would have collected with another of the `poolings`; None for one that is none of them."""
        other = self._others.get(name)
        if other is not None:
            other._pixel, other._map_range, other._image_size = self._pixel, self._map_range, self._image_size
            other._resampled = self._resampled
        return other

    def take(self, scores: np.ndarray, maps: np.ndarray | None, masks: np.ndarray | None) -> None:
        """All images at once, in the order of the samples, from elsewhere than a model.

        Args:
            scores: (N,) raw.
            maps: (N, H, W) raw; None for none.
            masks: (N, H, W) bool; None for none.
        """
        self.samples["score"] = scores
        if maps is None:
            return
        self._image_size = (maps.shape[-2], maps.shape[-1])
        self._map_range = (float(maps.min()), float(maps.max()))
        if self._pixel is not None and masks is not None:
            for row, fold in enumerate(self.samples["fold"].tolist()):
                one = slice(row, row + 1)
                self._pixel.update(maps[one], masks[one], np.array([fold]), rows=np.array([row]))

    def scored(self) -> pd.DataFrame:
        """A row an image: path, image, label, kind, fold, score.

        Raises:
            RuntimeError: An image was never scored.
        """
        unseen = self.samples.loc[self.samples["score"].isna(), "image"].tolist()
        if unseen:
            msg = f"{len(unseen)} of {len(self.samples)} test images have no score, the first is {unseen[0]}"
            raise RuntimeError(msg)
        return self.samples

    def finish(
        self,
        label_free: tuple[float, str] | None = None,
        *,
        requirement: Requirement | None = None,
        calibration: pd.DataFrame | None = None,
        part_score: str | None = None,
    ) -> Evaluation:
        """Compute everything from what was collected.

        Args:
            label_free: A threshold that the model took from its training images, and where it is from.
            requirement: What the thresholds keep; None for none.
            calibration: Scores of images that thresholds alone are fitted on: image, label, kind, score, fold; None
                fits them on the test images.
            part_score: What a part scores where parts are named.

        Raises:
            RuntimeError: A test image was never scored.
        """
        samples = self.scored()
        labels, scores = samples["label"].to_numpy(), samples["score"].to_numpy()
        metrics: dict[str, float | None] = dict(image_metrics(labels, scores, samples["fold"].to_numpy()))
        metrics |= auroc_by_kind(labels, scores, samples["kind"].tolist())
        metrics |= decision_metrics(labels, scores, label_free[0] if label_free else None)
        pixel = self._pixel.compute() if self._pixel is not None else PixelMetrics().compute()
        of_pixels = self._pixel.threshold() if self._pixel is not None and pixel["pixel_AUROC"] is not None else None
        more: dict[str, Any] = {"pixel": of_pixels}
        if label_free is not None:
            more |= {"label_free": label_free[0], "label_free_source": label_free[1]}
        kept = kept_thresholds(samples, requirement, calibration=calibration, part_score=part_score)
        thresholds = kept.model_copy(update=more)
        ranges = {"image": (float(scores.min()), float(scores.max()))}
        if self._map_range[0] <= self._map_range[1]:
            ranges["pixel"] = self._map_range
        return Evaluation(
            scores=samples[["image", "label", "kind", "score", "fold", *([GROUP] if GROUP in samples else [])]],
            metrics=metrics | pixel,
            thresholds=thresholds,
            ranges=ranges,
            image_size=self._image_size,
            medians=(_median(scores[labels == 0]), _median(scores[labels == 1])),
            resamples=self._resamples(),
        )

    def _resamples(self) -> pd.DataFrame | None:
        """Pixel metrics of the test sets that every detector on these images is given."""
        import pandas as pd

        if self._pixel is None:
            return None
        if self._resampled:
            return self._resampled[0]
        parts = self.samples[GROUP].tolist() if GROUP in self.samples else None
        draws = resample_counts(self.samples["label"].to_numpy(), self.samples["image"].tolist(), groups=parts)
        found = self._pixel.resampled(draws)
        self._resampled.append(pd.DataFrame(found) if found else None)
        return self._resampled[0]


def _median(scores: np.ndarray) -> float | None:
    return float(np.median(scores)) if len(scores) else None


def write_evaluation(evaluation: Evaluation, workspace: Path, *, calibration: pd.DataFrame | None = None) -> Files:
    """Write the tables of an evaluation beside a record, and the scores of calibration images; return their names."""
    write_text(workspace / SCORES, evaluation.scores.to_csv(index=False))
    files = Files(scores=SCORES)
    if evaluation.resamples is not None:
        write_text(workspace / RESAMPLES, evaluation.resamples.to_csv(index=False, float_format="%.5g"))
        files = files.model_copy(update={"resamples": RESAMPLES})
    if calibration is not None:
        write_text(workspace / CALIBRATION, calibration.to_csv(index=False))
        files = files.model_copy(update={"calibration": CALIBRATION})
    return files


def set_thresholds(model: AnomalibModule, evaluation: Evaluation) -> None:
    """Put thresholds and score ranges into the model's post-processor, where checkpoints and exports carry them."""
    post_processor = model.post_processor
    if post_processor is None or not hasattr(post_processor, "image_min"):
        return
    values = {"_image_threshold": evaluation.thresholds.image, "_pixel_threshold": evaluation.thresholds.pixel}
    for level, (low, high) in evaluation.ranges.items():
        values |= {f"{level}_min": low, f"{level}_max": high}
    for name, value in values.items():  # NaN, as anomalib has it, in place of what another test may have left
        getattr(post_processor, name).copy_(torch.tensor(float("nan") if value is None else value))


def test_samples(samples: pd.DataFrame, files: pd.DataFrame, name_of: Callable[[str], str]) -> pd.DataFrame:
    """Rows of the test set for `ScoreCollector`, from the datamodule's samples and the fingerprint's files.

    Args:
        samples: Of the datamodule's test set.
        files: Of the fingerprint; their `image` is what `name_of` gives for a path.
        name_of: An image's name in records.
    """
    kinds = files[files["split"] == "test"].set_index("image")["kind"]
    rows = test_rows(samples, name_of)
    return rows.assign(kind=rows["image"].map(kinds).fillna(""))


def test_rows(samples: pd.DataFrame, name_of: Callable[[str], str]) -> pd.DataFrame:
    """What `ScoreCollector` knows of each test image: path, image (its name), label, kind and, where known, its part.

    Args:
        samples: Of the datamodule's test set; without kinds all are `good`.
        name_of: An image's name in records.
    """
    import pandas as pd

    paths = samples["image_path"].astype(str)
    rows = pd.DataFrame({"path": paths, "image": paths.map(name_of), "label": samples["label_index"].astype(int)})
    rows["kind"] = samples.get("kind", "good")
    if GROUP in samples:
        rows[GROUP] = samples[GROUP]
    return rows.sort_values("image", ignore_index=True)
