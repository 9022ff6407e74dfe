"""Rows of training by gradient: a cold fit as a run of the benchmark does it, and what the trained part takes of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmark.one_run.training import device_of
from benchmark.speed.fit_predict import cache_in
from benchmark.speed.images import SpeedImages
from benchmark.speed.models import SEED, fit
from benchmark.speed.timing import STOCK, Measurement, take_turns
from benchmark.speed.trained_part import TrainedPart
from extensions.runtime.seeding import seeded

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

    from benchmark.speed.bench import Bench

BACKBONE = "resnet18"  # that anomalib's ReverseDistillation and FastFlow take; random, since a step costs the same
TOLERANCE = 1e-3  # of the loss of a batch, as a part of it
# Batches whose losses are to agree, the first. Rounding grows from step to step: where the trained tensors of
# anomalib's model are changed by a ten-millionth, its losses of the third epoch differ from its own as much as ours do.
N_COMPARED = 3
SHARE = 0.85  # of the time of a fit that its trained part takes, where twice as fast cannot be reached
TWICE_ASKED = ("Stfpm", "Cflow", "ReverseDistillation")
FLOW_STRIDES = (8, 16, 32)  # px, of CFlow's layers


def rows() -> dict[str, Callable[[Bench], Measurement]]:
    """A row for each model, on the images as they are and enlarged."""
    against_stock = ("Stfpm", "Cflow", "Fastflow", "ReverseDistillation")
    return {
        f"{name.lower()}_training{'_large' if is_large else ''}": partial(
            training, name=name, has_stock=name in against_stock, is_large=is_large
        )
        for name in (*against_stock, "ContrastiveStfpm", "Cdo", "ConvAutoencoder")
        for is_large in (False, True)
    }


def training(bench: Bench, *, name: str, has_stock: bool, is_large: bool) -> Measurement:
    """Fit a model for some epochs; the reference is anomalib's, or the same model without our cache."""
    settings, data = bench.settings, bench.large if is_large else bench.images
    scale = 1 / _fibers(settings.training_size) if name == "Cflow" else 1.0  # anomalib sums, ours is a mean

    def ours() -> TrainedPart:
        model, part = our_model(bench, name), TrainedPart()
        fit_cold(model, data, part, n_workers=settings.n_workers, n_epochs=settings.n_epochs)
        return part

    def reference() -> TrainedPart:
        model = stock_twin(bench, template) if has_stock else our_model(bench, name)
        part = TrainedPart(scale if has_stock else 1.0, each_image=has_stock and name == "Cflow")
        fit(model, data.datamodule(settings.n_workers), part, n_epochs=settings.n_epochs)
        return part

    with cache_in(bench.scratch / "training-cache"):
        template = our_model(bench, name)
        _convert(template)
        turns = take_turns(ours, reference, rounds=1)  # a fit takes a minute or two, which is long enough
    part, other = turns.ours_result, turns.reference_result
    asked = {"bound": 2, "limit_bound": 1 / SHARE} if name in TWICE_ASKED and has_stock else {}
    return turns.measurement(
        ("forward and backward of what is trained, in this fit", part.seconds),
        reference=STOCK if has_stock else "ours without its cache",
        work=f"{name} fit, {settings.training_size} px, {settings.n_epochs} epochs",
        data=data.description,
        agreement=f"the loss of the first {N_COMPARED} batches, as a part of it",
        difference=_largest_part(part.losses, other.losses),
        tolerance=TOLERANCE,
        detail=(
            f"{len(part.losses)} batches, whose losses differ by {_largest(part.losses, other.losses):.1g} of the "
            f"largest at most; {BACKBONE} with random tensors, equal on both sides; both without "
            "validation; ours with a cold cache, its decoding and the features of its frozen network included, the "
            "conversion of that network for OpenVINO, once on a machine, not"
        ),
        **asked,
    )


def fit_cold(model: AnomalibModule, data: SpeedImages, part: TrainedPart, *, n_workers: int, n_epochs: int) -> None:
    """Fit as a run of the benchmark does that finds nothing in its cache."""
    from extensions.cache.location import open_cache
    from extensions.models.common.cached_run import CachedRun

    cache = open_cache()
    cache.clear()
    datamodule = data.datamodule(n_workers)
    datamodule.setup()
    cached = CachedRun(cache, datamodule, model, device=device_of({}), splits=("train",))
    cached.prepare("train")
    if cached.source is not None:
        model.feature_source = cached.source
    fit(model, cached.datamodule(), part, *cached.callbacks, n_epochs=n_epochs)


def our_model(bench: Bench, name: str) -> Any:
    """A model of ours by its name, without metrics and drawing."""
    import extensions

    given: dict[str, Any] = {} if name == "ConvAutoencoder" else {"backbone": BACKBONE, "pre_trained": False}
    if name == "Cflow":
        given["fiber_batch_size"] = bench.settings.fiber_batch_size
    with seeded(SEED):
        return getattr(extensions, name)(
            **given, image_size=bench.settings.training_size, evaluator=False, visualizer=False
        )


def stock_twin(bench: Bench, ours: Any) -> Any:
    """Anomalib's model of the same name with the settings, the tensors and the pre-processing of ours."""
    import anomalib.models

    from extensions.backbones.stock_weights import stock_weights

    name = type(ours).__name__
    given: dict[str, Any] = {} if name == "Stfpm" else {"pre_trained": False}
    if name == "Cflow":
        given |= {"layers": list(ours.layers), "fiber_batch_size": bench.settings.fiber_batch_size}
    with stock_weights(restoring=True):  # its teacher would be downloaded
        stock = getattr(anomalib.models, name)(
            backbone=BACKBONE, pre_processor=ours.pre_processor, evaluator=False, visualizer=False, **given
        )
    wanted, tensors = stock.model.state_dict(), ours.model.state_dict()
    if name == "Fastflow":  # its extractor is timm's own
        tensors = {
            key.replace("feature_extractor.feature_extractor.", "feature_extractor."): tensors[key] for key in tensors
        }
    stock.model.load_state_dict({key: tensors[key] for key in wanted})
    return stock


def _convert(model: Any) -> None:
    """Have the frozen network converted for OpenVINO before the clock starts."""
    if extractor := getattr(model.model, getattr(model, "extractor_name", ""), None):
        with torch.no_grad():
            extractor.compute(torch.zeros(1, 3, 64, 64))


def _fibers(side: int) -> int:
    """Of an image of this height and width in px, in all layers of CFlow."""
    return sum(math.ceil(side / stride) ** 2 for stride in FLOW_STRIDES)


def _largest_part(ours: list[float], theirs: list[float]) -> float:
    """Largest difference of the first losses, as a part of the second; infinite where the curves differ in length."""
    if len(ours) != len(theirs):
        return math.inf
    found, expected = np.asarray(ours[:N_COMPARED]), np.asarray(theirs[:N_COMPARED])
    return float((np.abs(found - expected) / np.abs(expected)).max())


def _largest(ours: list[float], theirs: list[float]) -> float:
    """Largest difference of two curves, as a part of the largest loss; infinite where they have another length."""
    if len(ours) != len(theirs):
        return math.inf
    return float(np.abs(np.subtract(ours, theirs)).max() / np.abs(theirs).max())
