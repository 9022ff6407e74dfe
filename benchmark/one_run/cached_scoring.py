"""The test images of a datamodule under a detector, from the cache as far as it has them; it is fitted where asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from anomalib.data import AnomalibDataModule
    from anomalib.models import AnomalibModule

    from benchmark.one_run.evaluation import ScoreCollector
    from extensions.models.common.cached_run import CachedRun


def score_test_images(
    model: AnomalibModule,
    datamodule: AnomalibDataModule,
    rows: pd.DataFrame,
    folder: Path,
    *,
    splits: Sequence[str],
    trainer: dict[str, Any],
    layers: tuple[str, ...] = (),
    augmentations: Sequence[Any] = (),
    seed: int = 0,
    with_masks: bool = False,
) -> tuple[ScoreCollector, CachedRun]:
    """Scores of the test images by a detector that a frozen backbone's features are given to.

    Args:
        model: Built, with the pre-processing of the datamodule's images.
        datamodule: Its test images are scored.
        rows: As `benchmark.one_run.evaluation.test_rows` gives them.
        folder: For what the Engine writes.
        splits: Of "train", "test" and "val". The model is fitted where "train" is among them.
        trainer: Arguments of the trainer.
        layers: More layers of the same backbone that others will ask for.
        augmentations: Of the run.
        seed: Of what augmentations draw.
        with_masks: Whether pixel metrics are collected, too.
    """
    from benchmark.one_run.evaluation import ScoreCollector
    from benchmark.one_run.training import device_of, fit, make_engine, test_once
    from benchmark.plan.augmentation import augmented_splits, augmenting_callbacks
    from extensions.cache import open_cache
    from extensions.models.common.cached_run import CachedRun
    from extensions.runtime.downloads import fetching
    from extensions.runtime.explained import step

    arguments = {**trainer, "logger": False}
    collector = ScoreCollector(rows, with_masks=with_masks)
    cached = CachedRun(
        open_cache(),
        datamodule,
        model,
        layers=layers,
        device=device_of(arguments),
        splits=tuple(splits),
        augmented=augmented_splits(augmentations),
    )
    callbacks = [collector, *cached.callbacks, *augmenting_callbacks(augmentations, seed)]
    engine = make_engine(model, arguments, folder, callbacks=callbacks, progress=False, validation="val" in splits)
    with step("computing features"):
        for name in splits:
            cached.prepare(name)
    with cached.serving() as served:
        if "train" in splits:
            with step("fit"), fetching():
                fit(engine, model, served)
        else:
            engine._setup_trainer(model)
        with step("test"):
            test_once(engine, model, served)
    return collector, cached
