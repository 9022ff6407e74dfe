"""Trained networks that stay on disk until they are timed together: which are at hand, and which may go."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.one_run.shared_fit import fit_id
from benchmark.plan.experiment import Experiment
from benchmark.records.archive import read_records
from benchmark.records.record import Record
from benchmark.records.record_file import write_record
from benchmark.records.run_files import CHECKPOINT
from benchmark.records.store import KEEP, Store
from extensions.runtime.disk import DiskFullError, room_for

if TYPE_CHECKING:
    import torch
    from anomalib.models import AnomalibModule

logger = logging.getLogger(__name__)

NETWORK = "network.ckpt"
"""A checkpoint that is there to be timed, and goes afterwards."""
IMAGE = "image.npy"
"""What a network is timed on: one decoded image at the size that the network sees."""
MOST_BYTES = 8 * 2**30  # that networks which nobody asked to keep may take until the end of a sweep


@dataclass(frozen=True)
class FinishedRun:
    """A finished run and where it lies."""

    folder: Path
    record: Record

    @property
    def network(self) -> str | None:
        """Of `network_id`; None in records that do not tell."""
        return self.record.speed.network

    @property
    def session(self) -> str | None:
        """In which its latency was measured; None when that was in its run, alone."""
        return self.record.speed.latency_session

    @property
    def file(self) -> Path | None:
        """Its network; None when it is not at hand or there is no image to time it on."""
        files = [self.folder / name for name in (CHECKPOINT, NETWORK) if (self.folder / name).is_file()]
        return files[0] if files and self.network and (self.folder / IMAGE).is_file() else None


def network_id(experiment: Experiment, model: AnomalibModule, image: torch.Tensor, *, n_views: int = 1) -> str:
    """The same for networks that take the same time, whatever their weights.

    Those are of one class with the same arguments, tensors of the same shapes (the size of a memory bank is among
    them), one image size and one device.
    """
    shapes = {name: [*tensor.shape, str(tensor.dtype)] for name, tensor in model.model.state_dict().items()}
    told = [experiment.canonical["model"], shapes, list(image.shape), n_views, model.device.type]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def keep_image(workspace: Path, image: torch.Tensor) -> None:
    """Put the image (3, H, W), values in [0, 1], beside a network; 8 bits take a quarter of the room."""
    pixels = image.cpu().numpy()
    narrow = np.rint(pixels * 255).astype(np.uint8)
    is_narrow = bool(np.allclose(narrow / 255, pixels, atol=1e-6))
    with room_for(workspace / IMAGE):
        np.save(workspace / IMAGE, narrow if is_narrow else pixels, allow_pickle=False)


def keep_for_timing(workspace: Path, image: torch.Tensor, save: Callable[[Path], None]) -> None:
    """Keep a network that nobody asked to keep, if the disk has room for it; else its run alone has timed it."""
    try:
        with room_for(workspace / NETWORK):
            save(workspace / NETWORK)
            keep_image(workspace, image)
    except DiskFullError as error:
        logger.warning("%s; its latency is that of its run alone", error)
        for name in (NETWORK, IMAGE):
            (workspace / name).unlink(missing_ok=True)


def load_model(record: Record, file: Path) -> AnomalibModule:
    """The model of a run from a checkpoint, on the CPU and ready to predict."""
    from extensions.backbones.stock_weights import stock_weights
    from extensions.configuration.classes import import_class, known_classes, resolve_class_path

    class_path = resolve_class_path(record.experiment.model.class_path, "model")
    kind = import_class(class_path, "model", known_classes("model"))
    with stock_weights(restoring=True):
        model: AnomalibModule = kind.load_from_checkpoint(file, map_location="cpu", weights_only=True)
    return model.eval()


def load_network(run: FinishedRun) -> tuple[AnomalibModule, torch.Tensor]:
    """A network as its run tested it, on the CPU, and its image: the pre-processor has only the normalization left."""
    import torch

    from extensions.cache.transform_parts import split_transform
    from extensions.models.common.tiled_scoring import tiling_of

    file = run.file
    assert file is not None
    model = load_model(run.record, file)
    stored = np.load(run.folder / IMAGE, allow_pickle=False)
    image = torch.from_numpy(stored.astype(np.float32) / 255 if stored.dtype == np.uint8 else stored)
    parts = split_transform(getattr(model.pre_processor, "transform", None))
    if tiling_of(model) is not None:  # its pre-processor is for tiles
        return model, image
    if parts is not None and model.pre_processor is not None:
        fixed, model.pre_processor.transform = parts
        is_sized = list(image.shape[-2:]) == run.record.dataset.image_size
        image = image if is_sized or fixed is None else fixed(image)
    return model, image


def runs_of(store: Store, experiments: Sequence[Experiment] | None = None) -> list[FinishedRun]:
    """Finished runs in the folder, of all sweeps or of these experiments alone."""
    own = None if experiments is None else {experiment.experiment_id for experiment in experiments}
    return [
        FinishedRun(store.output / record.folder, record)
        for record in read_records(store.output)
        if record.is_finished and (own is None or record.experiment_id in own)
    ]


class Keeper:
    """Drops checkpoints that are not to be kept as a sweep goes on, but leaves one of each network that waits for time.

    Of `keep: best` one checkpoint per model, data set and category stays: that of the best image AUROC, ties by pixel
    AUROC. A model that was trained on several products is one network with thresholds for each of them: the products of
    the best fit stay, by the means over the products, apart from models of one product. Only the runs that it is told
    of are touched, so that other sweeps may share the folder.

    Args:
        store: Where the runs are.
        keep: `best`, `all` or `none`.
        experiments: Of the sweep: how many runs share a fit.
    """

    def __init__(self, store: Store, keep: str, experiments: Sequence[Experiment] = ()) -> None:
        self._store = store
        self._keep = keep
        testing_plainly = [one for one in experiments if not any(part.in_test for part in one.augmentations)]
        self._n_runs = Counter(map(fit_id, testing_plainly))  # only these leave checkpoints
        self._fit_of = {experiment.experiment_id: fit_id(experiment) for experiment in experiments}
        self._fits: dict[str, list[FinishedRun]] = {}
        self._best: dict[tuple[str, ...], list[FinishedRun]] = {}
        self._held: dict[str | None, FinishedRun] = {}  # by network
        self._n_bytes = 0

    def add(self, record: Record) -> None:
        """A run has ended, or had before."""
        if not record.is_finished:
            return
        run = FinishedRun(self._store.output / record.folder, record)
        with self._store.lock(KEEP):
            if self._keep == "best" and record.files.checkpoint:
                self._compare(run)
            self._hold(run)

    def _compare(self, run: FinishedRun) -> None:
        """Leave the checkpoints of the better fit, once all runs of a fit have ended."""
        record = run.record
        fit, products = self._fit_of.get(record.experiment_id, record.key), [run]
        group: tuple[str, ...] = (record.model, record.dataset.name, record.dataset.training)
        if not record.dataset.products:
            group = (*group, record.dataset.category)
        else:
            products = self._fits.setdefault(fit, [])
            products.append(run)
            if len(products) < self._n_runs[fit]:
                return
        rivals = [products, *([self._best[group]] if group in self._best else [])]
        *worse, self._best[group] = sorted(rivals, key=_quality)
        for one in (one for runs in worse for one in runs):
            self._demote(one)

    def _demote(self, run: FinishedRun) -> None:
        """A checkpoint becomes a network that is there to be timed."""
        record = self._store.read(run.record.folder) or run.record  # another sweep may have timed it meanwhile
        record = record.model_copy(update={"files": record.files.model_copy(update={"checkpoint": None})})
        write_record(run.folder, record)
        if (run.folder / CHECKPOINT).is_file():
            (run.folder / CHECKPOINT).replace(run.folder / NETWORK)
        self._hold(FinishedRun(run.folder, record))

    def _hold(self, run: FinishedRun) -> None:
        """Leave one file of each network that was not timed, and no more bytes than `MOST_BYTES`."""
        holder = self._held.get(run.network)
        is_held = holder is not None and holder.folder != run.folder
        path = run.folder / NETWORK
        size = path.stat().st_size if path.is_file() else 0
        if run.session is not None or (size and (is_held or self._n_bytes + size > MOST_BYTES)):
            _remove(run)
        elif not is_held and run.file is not None:
            self._held[run.network] = run
            self._n_bytes += size


def clear_networks(store: Store, runs: Iterable[FinishedRun]) -> None:
    """Remove what was there only to be timed."""
    with store.lock(KEEP):
        for run in runs:
            _remove(run)


def _quality(runs: Sequence[FinishedRun]) -> tuple[float, float, str]:
    """Of the runs of one fit: the means of their metrics."""
    found = []
    for name in ("image_AUROC", "pixel_AUROC"):
        values = [run.record.metrics[name] for run in runs]
        known = [value for value in values if value is not None]
        found.append(float(np.mean(known)) if known and len(known) == len(values) else -1.0)
    return found[0], found[1], min(run.record.key for run in runs)


def _remove(run: FinishedRun) -> None:
    """Remove a network that nobody asked to keep, and the image that no other is timed on."""
    (run.folder / NETWORK).unlink(missing_ok=True)
    if not (run.folder / CHECKPOINT).is_file():
        (run.folder / IMAGE).unlink(missing_ok=True)


def by_network(runs: Iterable[FinishedRun], wanted: Callable[[FinishedRun], bool]) -> dict[str, list[FinishedRun]]:
    """Runs that are wanted, by their network."""
    found: dict[str, list[FinishedRun]] = {}
    for run in runs:
        if run.network is not None and wanted(run):
            found.setdefault(run.network, []).append(run)
    return found
