"""The same model twice, ours and stock anomalib's, and one way to fit and to test both."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from benchmark.metrics.image import image_metrics
from benchmark.metrics.pixel import PixelMetrics
from benchmark.speed.settings import Settings
from benchmark.speed.timing import timed
from extensions.runtime.lightning_runs import quiet
from extensions.runtime.seeding import seeded

if TYPE_CHECKING:
    from anomalib.engine import Engine
    from anomalib.models import AnomalibModule, Padim, Patchcore

SEED = 0  # random backbones and PaDiM's channels are those of a run of the benchmark with it
COMPARED = ("image_AUROC", "image_F1Max", "pixel_AUROC", "pixel_F1Max", "pixel_AUPRO")


def our_patchcore(settings: Settings, **arguments: Any) -> Patchcore:
    """PatchCore of ours with the settings' ratio; metrics and drawing are left out."""
    from extensions import Patchcore

    with seeded(SEED):
        return Patchcore(
            settings.backbone,
            pre_trained=settings.pre_trained,
            image_size=settings.image_size,
            evaluator=False,
            visualizer=False,
            **{"coreset_sampling_ratio": settings.ratio, "num_neighbors": settings.num_neighbors[-1], **arguments},
        )


def our_padim(settings: Settings) -> Padim:
    """PaDiM of ours with the most channels of the settings; metrics and drawing are left out."""
    from extensions import Padim

    with seeded(SEED):
        return Padim(
            settings.backbone,
            pre_trained=settings.pre_trained,
            image_size=settings.image_size,
            n_features=settings.n_features[-1],
            evaluator=False,
            visualizer=False,
        )


def stock_patchcore(ours: Any, **arguments: Any) -> Patchcore:
    """Anomalib's PatchCore with the settings, the backbone's tensors and the pre-processing of ours."""
    from anomalib.models import Patchcore

    return _twin(
        Patchcore,
        ours,
        coreset_sampling_ratio=ours.coreset_sampling_ratio,
        num_neighbors=ours.model.num_neighbors,
        **arguments,
    )


def stock_padim(ours: Any, **arguments: Any) -> Padim:
    """Anomalib's PaDiM with the settings, the backbone's tensors, the channels and the pre-processing of ours."""
    from anomalib.models import Padim

    stock = _twin(Padim, ours, n_features=ours.model.n_features, **arguments)
    stock.model.idx.copy_(ours.model.idx)  # drawn at random
    return stock


def _twin(stock_class: Any, ours: Any, **arguments: Any) -> Any:
    from extensions.backbones import architecture

    given = {"evaluator": False, "visualizer": False, **arguments}
    stock = stock_class(
        backbone=architecture(ours.backbone),
        layers=list(ours.layers),
        pre_trained=False,
        pre_processor=ours.pre_processor,
        **given,
    )
    stock.model.feature_extractor.load_state_dict(ours.model.feature_extractor.state_dict())
    return stock


class RawResults(Callback):
    """Raw scores and pixel counts of a test; the trainer's callbacks come before the post-processor changes them."""

    def __init__(self) -> None:
        self.scores: list[np.ndarray] = []
        self.paths: list[str] = []
        self.labels: list[np.ndarray] = []
        self._pixel = PixelMetrics()

    def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:  # noqa: D102
        n = len(outputs.image_path)
        self.paths += map(str, outputs.image_path)
        self.scores.append(outputs.pred_score.detach().float().cpu().numpy().reshape(n))
        self.labels.append(outputs.gt_label.cpu().numpy().reshape(n))
        maps = outputs.anomaly_map.detach().float().cpu().numpy()
        maps = maps.reshape(n, *maps.shape[-2:])  # (N, H, W)
        if outputs.gt_mask is not None:
            self._pixel.update(maps, outputs.gt_mask.cpu().numpy().reshape(maps.shape) > 0, np.zeros(n))

    def by_path(self) -> np.ndarray:
        """Scores (N,) in the order of the paths, for data sets list images in orders of their own."""
        scores: np.ndarray = np.concatenate(self.scores)[np.argsort(self.paths)]
        return scores

    def metrics(self) -> dict[str, float | None]:
        """`COMPARED`, with one code for both sides."""
        labels, scores = np.concatenate(self.labels).astype(int), np.concatenate(self.scores)
        found = {**image_metrics(labels, scores, np.zeros(len(labels))), **self._pixel.compute()}
        return {name: found[name] for name in COMPARED}


def fit(
    model: AnomalibModule, datamodule: Any, *callbacks: Callback, like_a_user: bool = False, n_epochs: int | None = None
) -> None:
    """Fit from the same random state with an Engine that keeps nothing.

    `like_a_user`, it does as `Engine().fit` would, with its validation; else without, for no metrics are asked for.
    Models trained by gradient need a number of epochs.
    """
    from lightning import seed_everything

    seed_everything(SEED, workers=True, verbose=False)
    arguments: dict[str, Any] = {} if like_a_user else {"limit_val_batches": 0}
    if n_epochs is not None:
        arguments["max_epochs"] = n_epochs
    with quiet(), _engine(arguments, *callbacks) as engine:
        engine.fit(model=model, datamodule=datamodule)


def test(model: AnomalibModule, datamodule: Any) -> tuple[RawResults, float]:
    """Run the test set through a fitted model: raw results, and seconds."""
    results = RawResults()
    with quiet(), _engine({}, results) as engine:
        _, seconds = timed(lambda: engine.test(model=model, datamodule=datamodule, verbose=False))
    return results, seconds


@contextmanager
def _engine(arguments: dict[str, Any], *callbacks: Callback) -> Iterator[Engine]:
    from anomalib.callbacks import ModelCheckpoint
    from anomalib.engine import Engine

    with tempfile.TemporaryDirectory(prefix="workbench-speed-") as folder:
        yield Engine(
            callbacks=[*callbacks, ModelCheckpoint(save_top_k=0)],
            default_root_dir=folder,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **arguments,
        )


def fitted_tensors(model: Any) -> dict[str, torch.Tensor]:
    """What fitting learned: the memory bank, or the Gaussians."""
    if hasattr(model.model, "memory_bank") and isinstance(model.model.memory_bank, torch.Tensor):
        return {"memory_bank": model.model.memory_bank}
    return {"mean": model.model.gaussian.mean, "inv_covariance": model.model.gaussian.inv_covariance}


def give_fitted(target: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Give a model what another one learned."""
    place = target.model if "memory_bank" in tensors else target.model.gaussian
    for name, tensor in tensors.items():
        setattr(place, name, tensor)
