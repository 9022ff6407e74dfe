"""One setting on one part: fitted, scored, and what that says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.tune.objective import Quality, separation
from benchmark.tune.part import Part

if TYPE_CHECKING:
    import pandas as pd
    from anomalib.models import AnomalibModule


@dataclass(frozen=True)
class Judged:
    """What a fit on a part gave.

    Attributes:
        quality: On the part.
        scores: A row an image that it was judged on: image, label, kind, score (raw, higher is more anomalous).
    """

    quality: Quality
    scores: pd.DataFrame


def judge(
    model: dict[str, Any],
    part: Part,
    *,
    workspace: Path,
    seed: int = 0,
    trainer: dict[str, Any] | None = None,
    layers: tuple[str, ...] = (),
) -> Judged:
    """Fit a detector to the training images of a part and judge it by its other images.

    Images are decoded and features of a frozen backbone computed once, see `extensions.models.common.cached_run`. No
    loss on held-out images is watched: a model trained by gradient keeps its last epoch.

    Args:
        model: `class_path` and `init_args`.
        part: The images.
        workspace: Folder for what the Engine writes.
        seed: Of the fit.
        trainer: Arguments of the trainer.
        layers: More layers of the same backbone that other trials will ask for.
    """
    from lightning import seed_everything

    from benchmark.metrics.image import image_metrics
    from benchmark.one_run.cached_scoring import score_test_images
    from benchmark.one_run.evaluation import test_rows
    from benchmark.one_run.latency import measure_latency
    from extensions.backbones.stock_weights import stock_weights
    from extensions.configuration import instantiate_model
    from extensions.data.reading.decoded import decoded_images
    from extensions.models.common.imaging_mixin import take_imaging
    from extensions.models.common.limits import check_image_size, check_n_train
    from extensions.runtime.downloads import fetching
    from extensions.runtime.explained import step
    from extensions.runtime.float32 import exact_float32
    from extensions.runtime.lightning_runs import quiet

    datamodule = part.served()
    with quiet(), exact_float32():
        seed_everything(seed, workers=True, verbose=False)
        with step("building the model"), fetching(), stock_weights():
            detector: AnomalibModule = instantiate_model(model)
        check_image_size(detector)
        take_imaging(detector, datamodule)
        check_n_train(detector, len(datamodule.train_data))
        collector, cached = score_test_images(
            detector,
            datamodule,
            test_rows(datamodule.test_data.samples, part.datamodule.relative),
            workspace,
            splits=("train", "test"),
            trainer=trainer or {},
            layers=layers,
            with_masks=part.has_masks,
        )
        decoded_images.forget()
        image, left_to_do = cached.network_input()
        with step("measuring latency"):
            latency = measure_latency(detector, image, transform=left_to_do, enough=3, repeats=5).latency_ms
    scored = collector.scored()
    labels, scores = scored["label"].to_numpy(), scored["score"].to_numpy()
    pixel = collector._pixel.compute()["pixel_AUROC"] if collector._pixel is not None else None
    auroc = image_metrics(labels, scores, scored["fold"].to_numpy())["image_AUROC"]
    assert auroc is not None  # both classes are there
    quality = Quality(auroc, separation(labels, scores), pixel, latency)
    return Judged(quality, scored[["image", "label", "kind", "score"]])
