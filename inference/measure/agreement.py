"""Whether an exported network says what the trained model said, through the whole path from file to score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extensions.data.imaging import Imaging, imaging_of
from extensions.data.reading.pixels import read_pixels
from inference.measure.summary import Summary
from inference.model.verdicts import Verdict, verdict

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

    from inference.model.metadata import ModelInfo
    from inference.model.predictors import Predictor

# Largest difference that is accepted, as a part of the range of the model's own: of a score, of a map's value. int8's
# hold where its threshold is that of training; they were set after results/inference was seen, to take what keeps the
# image AUROC and refuse what falls apart.
TOLERANCES = {"fp32": (1e-3, 1e-3), "fp16": (1e-2, 1e-2), "int8": (0.2, 0.4)}
# Where int8 has a threshold of its own its scores may lie elsewhere: what counts is what they are used for.
AUROC_DROP = 0.005  # accepted, of the image AUROC
FLIPPED_PART = 0.05  # of the labels may differ, each network judging by its own threshold
# Of images with drawn defects more: many are as faint as the threshold, and none had a say in it.
DRAWN_FLIPPED_PART = 0.1
N_IMAGES = 64
FEWEST_IMAGES = 4
# Of a map's value, for networks of tiles. A large image that was trained on has patches that lie in PatchCore's bank:
# at distance 0, where float32 cancels, a product and a difference are 1e-3 of the range apart. Scores are not.
TILED_MAP = 3e-3
PIXELS = 2**24  # of all images of a network of tiles together: their maps are held


class DisagreementError(RuntimeError):
    """The exported network differs from the trained model by more than is accepted."""


@dataclass(frozen=True)
class ImageAgreement:
    """What both say of an image: a row of `agreement.csv`. Scores are raw, differences parts of a range.

    Attributes:
        defect: Kind of the drawn one; empty without one.
        torch_label: None without a threshold, as `exported_label`.
        near_threshold: Whether a flipped verdict would be accepted: the score is near one of the thresholds.
        torch_verdict: `good`, `defective` or `unsure`; None without a threshold, as `exported_verdict`.
    """

    image: str
    defect: str
    torch_score: float
    exported_score: float
    difference: float
    map_difference: float
    torch_label: bool | None = None
    exported_label: bool | None = None
    near_threshold: bool | None = None
    torch_verdict: Verdict | None = None
    exported_verdict: Verdict | None = None


@dataclass(frozen=True)
class Agreement:
    """A comparison of two predictors on the same files, image by image and as a whole."""

    rows: list[ImageAgreement]
    summary: Summary

    @property
    def agrees(self) -> bool:
        """Whether all that is judged is accepted, see `compare`."""
        return self.summary.agrees

    def sentence(self) -> str:
        """The summary for a person."""
        return self.summary.sentence()

    def to_csv(self) -> str:
        """The text of `agreement.csv`."""
        import pandas as pd

        return pd.DataFrame(self.rows).to_csv(index=False)


def compare(
    model: AnomalibModule,
    predictor: Predictor,
    images: Sequence[tuple[Path, str]],
    *,
    names: Sequence[str],
    tolerances: tuple[float, float],
    workspace: Path,
    flipped_part: float = FLIPPED_PART,
) -> Agreement:
    """Let both score the same files.

    They agree where all differences are within the tolerances and no verdict flipped but near a threshold. A network
    with thresholds of its own is judged by its verdicts alone, held against those of the trained model at its own.
    With one threshold a verdict is a label.

    Args:
        model: In torch; what `Engine.predict` makes of the files is what counts.
        predictor: Of the exported network.
        images: File and kind of drawn defect, "" for none; at least one.
        names: What the table calls them.
        tolerances: Accepted difference of a score and of a map's value, as a part of the range of the model's on these
            images.
        workspace: Folder for what the Engine writes.
        flipped_part: Of the verdicts that may differ where the network has thresholds of its own.

    Raises:
        ValueError: An image cannot be read.
    """
    if predictor.info.tiling is not None:
        tolerances = tolerances[0], max(tolerances[1], TILED_MAP)
    expected = engine_predictions(model, [path for path, _ in images], workspace)
    scores = np.array([score for score, _ in expected])
    lowest, highest = min(float(one.min()) for _, one in expected), max(float(one.max()) for _, one in expected)
    score_range, map_range = _positive(float(np.ptp(scores)), scores), _positive(highest - lowest, [highest])
    own = predictor.info.refitted is not None
    threshold, upper = predictor.info.trained_threshold, predictor.info.trained_upper_threshold
    rows: list[ImageAgreement] = []
    map_means: list[float] = []
    imaging = predictor.info.imaging
    found = predictor.stream((place, read_pixels(path, imaging)) for place, (path, _) in enumerate(images))
    for place, outcome in found:
        if isinstance(outcome, Exception):
            raise outcome
        score, anomaly_map = expected[place]
        off = np.abs(outcome.anomaly_map - anomaly_map) / map_range
        map_means.append(float(off.mean()))
        row = ImageAgreement(
            image=names[place],
            defect=images[place][1],
            torch_score=score,
            exported_score=outcome.pred_score,
            difference=abs(outcome.pred_score - score) / score_range,
            map_difference=float(off.max()),
        )
        if threshold is not None:
            distance = min(abs(score - one) for one in (threshold, upper) if one is not None)
            row = replace(
                row,
                torch_label=score >= threshold,
                exported_label=outcome.pred_label,
                near_threshold=not own and distance <= tolerances[0] * score_range,
                torch_verdict=verdict(score, threshold, upper),
                exported_verdict=outcome.verdict,
            )
        rows.append(row)
    n_accepted = flips_accepted(len(rows), flipped_part) if own else 0
    summary = _summary(rows, map_means, tolerances, score_range, map_range, predictor.info, n_accepted)
    return Agreement(rows, summary)


def engine_predictions(model: AnomalibModule, files: Sequence[Path], workspace: Path) -> list[tuple[float, np.ndarray]]:
    """Raw score and map (h, w) of each file, as anomalib's `Engine.predict` computes them."""
    import pandas as pd
    from anomalib import TaskType
    from anomalib.engine import Engine
    from torch.utils.data import DataLoader

    from extensions.data.datamodules.dataset import WorkbenchDataset
    from extensions.runtime.lightning_runs import quiet

    samples = pd.DataFrame({"image_path": [str(file) for file in files]})
    samples = samples.assign(mask_path="", label_index=0, kind="good", split="test")
    dataset = WorkbenchDataset(samples, name="agreement", task=TaskType.CLASSIFICATION, imaging=imaging_of(model))
    loader = DataLoader(dataset, batch_size=1, collate_fn=dataset.collate_fn)
    aside = model.post_processor, model.evaluator, model.visualizer
    model.post_processor = model.evaluator = model.visualizer = None  # the first would normalize the scores
    try:
        with quiet():
            engine = Engine(
                accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, default_root_dir=workspace
            )
            found = engine.predict(model=model, dataloaders=loader) or []
    finally:
        model.post_processor, model.evaluator, model.visualizer = aside
    scored = {
        str(batch.image_path[0]): (
            float(batch.pred_score.reshape(())),
            batch.anomaly_map.float().numpy().reshape(batch.anomaly_map.shape[-2:]),
        )
        for batch in found
    }
    return [scored[str(file)] for file in files]  # anomalib's data sets sort their files


def n_compared(file: Path, imaging: Imaging) -> int:
    """How many images such as this one a network of tiles is compared on: fewer where they are larger."""
    pixels = read_pixels(file, imaging)
    return min(N_IMAGES, max(FEWEST_IMAGES, PIXELS // (pixels.shape[0] * pixels.shape[1])))


def flips_accepted(n_images: int, part: float = FLIPPED_PART) -> int:
    """Verdicts that may differ of so many, each network judging by its own thresholds; one at them always may."""
    return max(1, math.floor(part * n_images))


def _positive(span: float, values: Any) -> float:
    """A range to divide by, where all values are equal their size."""
    return span or float(np.abs(values).max()) or 1.0


def _summary(
    rows: list[ImageAgreement],
    map_means: list[float],
    tolerances: tuple[float, float],
    score_range: float,
    map_range: float,
    info: ModelInfo,
    n_accepted: int,
) -> Summary:
    threshold, own = info.trained_threshold, info.refitted is not None
    has_band = info.trained_upper_threshold is not None or info.upper_threshold is not None
    flipped = [row for row in rows if row.torch_verdict != row.exported_verdict]
    n_near = sum(bool(row.near_threshold) for row in flipped)
    score_largest = float(np.max([row.difference for row in rows]))  # NaN if one is, unlike Python's max
    map_largest = float(np.max([row.map_difference for row in rows]))
    if own:
        agrees = math.isfinite(score_largest) and math.isfinite(map_largest) and len(flipped) <= n_accepted
    else:
        agrees = score_largest <= tolerances[0] and map_largest <= tolerances[1] and len(flipped) == n_near
    return Summary(
        agrees=agrees,
        score_tolerance=tolerances[0],
        map_tolerance=tolerances[1],
        n_images=len(rows),
        n_defects=sum(bool(row.defect) for row in rows),
        largest_score_difference=score_largest if math.isfinite(score_largest) else math.inf,
        mean_score_difference=float(np.mean([row.difference for row in rows])),
        largest_map_difference=map_largest if math.isfinite(map_largest) else math.inf,
        mean_map_difference=float(np.mean(map_means)),
        score_range=score_range,
        map_range=map_range,
        threshold=threshold,
        exported_threshold=info.threshold,
        own_threshold=own,
        n_flipped_accepted=n_accepted,
        n_anomalous=None if threshold is None else sum(bool(row.torch_label) for row in rows),
        n_flipped=None if threshold is None else len(flipped) - n_near,
        n_flipped_near=None if threshold is None else n_near,
        upper_threshold=info.trained_upper_threshold,
        exported_upper_threshold=info.upper_threshold,
        n_unsure=sum(row.torch_verdict == "unsure" for row in rows) if has_band else None,
        n_exported_unsure=sum(row.exported_verdict == "unsure" for row in rows) if has_band else None,
    )
