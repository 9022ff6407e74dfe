"""Members fitted on their own: by an Engine each, on all training images or without those that are held out."""

from __future__ import annotations

import copy
import math
import os
import tempfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anomalib.callbacks import ModelCheckpoint
from anomalib.engine import Engine
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback

from extensions.configuration import ConfigError, instantiate_callback
from extensions.data.checks.copies import contents_of
from extensions.data.checks.inspection import inspect_files
from extensions.data.groups import GROUP, joined_parts
from extensions.data.splits import held_out
from extensions.models.common.cached_run import SPLITS, CachedRun
from extensions.models.common.gradient_training import is_trained_by_gradient
from extensions.models.common.imaging_mixin import take_imaging
from extensions.models.common.limits import check_image_size, check_n_train
from extensions.models.ensemble.members import Member
from extensions.models.ensemble.scale import Moments, Scale
from extensions.runtime.downloads import fetching
from extensions.runtime.float32 import scoring_in_float32
from extensions.runtime.lightning_runs import interruptible, quiet
from extensions.runtime.seeding import random_state, restore_random_state

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule
    from anomalib.models import AnomalibModule

    from extensions.cache.store import WorkCache

FEWEST = 2  # images on either side
LENGTHS = ("max_epochs", "max_steps", "max_time")
ELSEWHERE = ("logger", "default_root_dir", "enable_checkpointing", "limit_val_batches")


@dataclass(frozen=True)
class FitSettings:
    """How members are fitted.

    Attributes:
        seed: Set before each member is built, so that it is the one that a run of its own with this seed fits.
        held_out_ratio: Share of the training images that scales are measured on.
        accelerator: As Lightning names it.
        cache: Of images and features; None for none.
        bank_seconds: Each fit adds what a memory bank that it took from the cache had taken; None where that is not
            known.
    """

    seed: int = 0
    held_out_ratio: float = 0.25
    accelerator: str = "cpu"
    cache: WorkCache | None = None
    bank_seconds: list[float | None] = field(default_factory=list)


def fit_member(member: Member, datamodule: AnomalibDataModule, settings: FitSettings) -> AnomalibModule:
    """A member fitted on all training images, as a run of its own fits it."""
    model = _fitted(member, datamodule, settings, test=False, scores=None)
    return model.cpu().eval()


def measure_scale(member: Member, datamodule: AnomalibDataModule, settings: FitSettings) -> Scale:
    """The scale of a member: it is fitted without the held-out images, which it then scores. Test images have no say.

    Raises:
        ValueError: There are too few training images, or all held-out ones score the same.
    """
    started = time.perf_counter()
    part = split_off(datamodule, settings.held_out_ratio, seed=settings.seed)
    scores = HeldOutScores()
    _fitted(member, part, settings, test=True, scores=scores)
    return scores.scale(member, settings, seconds=time.perf_counter() - started)


def split_off(datamodule: AnomalibDataModule, ratio: float, *, seed: int) -> AnomalibDataModule:
    """The datamodule with a seeded share of its good training images to test on, and the others to train on.

    Copies of one image, and images of one part where parts are named, stay on one side; known defects train.

    Raises:
        ValueError: Fewer than two images would be left on a side.
    """
    from extensions.models.common.known_defects import is_known_defect

    train = datamodule.train_data
    samples = train.samples
    is_good = ~is_known_defect(samples) & samples["label_index"].eq(0)
    good = samples[is_good]
    contents = contents_of(good["image_path"], inspect_files(good["image_path"]))
    units = joined_parts(contents, good[GROUP].tolist()) if GROUP in good else contents
    chosen = held_out(units, ratio, seed=seed)
    if not FEWEST <= chosen.sum() <= len(good) - FEWEST:
        msg = (
            f"an Ensemble holds {ratio:g} of the good training images out to bring its members to one scale, which of "
            f"the {len(good)} of data set {datamodule.name!r} are {int(chosen.sum())}: expected {FEWEST} or more, and "
            f"{FEWEST} or more left; give it more training images, or another held_out_ratio"
        )
        raise ValueError(msg)
    is_chosen = np.zeros(len(samples), bool)
    is_chosen[np.flatnonzero(is_good)] = chosen
    part = copy.copy(datamodule)
    part.train_data, part.test_data = _subset(train, samples[~is_chosen]), _subset(train, samples[is_chosen])
    part.test_data.augmentations = getattr(datamodule.test_data, "augmentations", None)
    part.test_augmentations = getattr(datamodule, "test_augmentations", None)
    return part


def _subset(data: Any, samples: pd.DataFrame) -> Any:
    part = copy.copy(data)
    part.samples = samples.reset_index(drop=True)
    part.samples.attrs.update(data.samples.attrs)
    return part


class HeldOutScores(Callback):
    """Takes raw scores and maps of each test batch, before a post-processor changes them."""

    def __init__(self) -> None:
        self.scores, self.pixels = Moments(), Moments()

    def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        """Count them."""
        self.scores.add(outputs.pred_score)
        if outputs.anomaly_map is not None:
            self.pixels.add(outputs.anomaly_map)

    def scale(self, member: Member, settings: FitSettings, *, seconds: float) -> Scale:
        """Of what was seen."""
        has_map = self.pixels.n > 0
        for what, found in (("scores", self.scores), ("map values", self.pixels)):
            if found.n and not (math.isfinite(found.mean) and found.deviation > 0 and math.isfinite(found.deviation)):
                msg = (
                    f"the {what} of {member.told} on {self.scores.n} held-out training images have mean {found.mean:g} "
                    f"and deviation {found.deviation:g}, so that they have no scale: leave it out of the Ensemble"
                )
                raise ValueError(msg)
        return Scale(
            score_location=self.scores.mean,
            score_scale=self.scores.deviation,
            map_location=self.pixels.mean if has_map else None,
            map_scale=self.pixels.deviation if has_map else None,
            n_images=self.scores.n,
            seconds=seconds,
            ratio=settings.held_out_ratio,
            seed=settings.seed,
        )


def _fitted(
    member: Member, datamodule: AnomalibDataModule, settings: FitSettings, *, test: bool, scores: Callback | None
) -> AnomalibModule:
    """The member after a fit by an Engine of its own, tested where that is asked for; random states stay as they were.

    Raises:
        ConfigError: A member that is trained by gradient and does not say for how long.
    """
    state, names = random_state(), ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")
    seeds = {name: os.environ[name] for name in names if name in os.environ}
    try:
        with quiet():
            seed_everything(settings.seed, workers=True, verbose=False)
            with fetching():
                model = Member(member.class_path, member.init_args).build()
            if is_trained_by_gradient(model) and not member.trainer.keys() & set(LENGTHS):
                msg = (
                    f"{member.told} is trained by gradient descent and its trainer does not say for how long: add "
                    "'trainer: {max_epochs: …}' to this member of the Ensemble, or give the folder of a kept run"
                )
                raise ConfigError(msg)
            check_image_size(model)
            take_imaging(model, datamodule)
            check_n_train(model, len(datamodule.train_data))
            validation = _validates(model, datamodule)
            splits = ("train", *(["test"] if test else []), *(["val"] if validation else []))
            cached = None
            if settings.cache is not None:
                device = "cpu" if settings.accelerator == "cpu" else "cuda"
                cached = CachedRun(settings.cache, datamodule, model, device=device, splits=splits)
            with tempfile.TemporaryDirectory(prefix="ensemble-") as folder:
                _run(model, member, datamodule, settings, cached, folder, validation=validation, scores=scores)
        return model
    finally:
        restore_random_state(state)
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(seeds)


def _run(
    model: AnomalibModule,
    member: Member,
    datamodule: AnomalibDataModule,
    settings: FitSettings,
    cached: CachedRun | None,
    folder: str,
    *,
    validation: bool,
    scores: Callback | None,
) -> None:
    model.evaluator = model.visualizer = None
    own = [instantiate_callback(spec) for spec in member.trainer.get("callbacks") or []]
    callbacks = [*([scores] if scores else []), *(cached.callbacks if cached else []), *own]
    given = {name: value for name, value in member.trainer.items() if name not in (*ELSEWHERE, "callbacks")}
    engine = Engine(
        callbacks=[*callbacks, ModelCheckpoint(save_top_k=0)],
        default_root_dir=folder,
        **({"accelerator": settings.accelerator, "devices": 1} | given),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=float(validation),
    )
    served = copy.copy(datamodule)  # Lightning gives it a trainer
    if cached is not None:
        for name in (*SPLITS, "val"):
            cached.prepare(name)
        served = cached.datamodule()
        served = copy.copy(served) if served is datamodule else served
        model.feature_source = cached.source
    try:
        with interruptible(), fetching():
            engine.fit(model=model, datamodule=served)
        if scores is not None:
            with interruptible(), scoring_in_float32(engine.trainer):
                engine.trainer.test(model, datamodule=served, verbose=False)
    finally:
        if cached is not None:
            settings.bank_seconds.append(cached.bank_seconds)
            model.feature_source = None


def _validates(model: AnomalibModule, datamodule: AnomalibDataModule) -> bool:
    """Whether the fit watches a loss on images held out of training, as in a run of its own."""
    mode = getattr(datamodule, "val_split_mode", None)
    from_train = str(getattr(mode, "value", mode)) == "from_train" and len(getattr(datamodule, "val_data", ())) > 0
    return from_train and getattr(model, "logs_val_loss", False)
