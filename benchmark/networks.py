"""Trained networks that stay on disk until they are timed together: which are at hand, and which may go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.disk import room_for
from benchmark.experiment import Experiment
from benchmark.store import CHECKPOINT, KEEP, RECORD, Store, write_json

if TYPE_CHECKING:
    import torch
    from anomalib.models import AnomalibModule

__all__ = ["IMAGE", "NETWORK", "Run", "clear_networks", "keep_image", "load_network", "network_id", "runs_of", "tidy"]

NETWORK = "network.ckpt"
"""A checkpoint that is there to be timed, and goes afterwards."""
IMAGE = "image.npy"
"""What a network is timed on: one decoded image at the size that the network sees."""
MOST_BYTES = 8 * 2**30  # that networks which nobody asked to keep may take until the end of a sweep

Record = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A finished run and where it lies."""

    folder: Path
    record: Record

    @property
    def network(self) -> str | None:
        """Of `network_id`; None in records that do not tell."""
        return self.record.get("speed", {}).get("network")

    @property
    def session(self) -> str | None:
        """In which its latency was measured; None when that was in its run, alone."""
        return self.record.get("speed", {}).get("latency_session")

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


def load_network(run: Run) -> tuple[AnomalibModule, torch.Tensor]:
    """A network as its run tested it, on the CPU, and its image: the pre-processor has only the normalization left."""
    import torch

    from extensions.cache.transforms import split_transform
    from extensions.configuration.classes import import_class, known_classes, resolve_class_path

    file = run.file
    assert file is not None
    class_path = resolve_class_path(run.record["experiment"]["model"]["class_path"], "model")
    kind = import_class(class_path, "model", known_classes("model"))
    model: AnomalibModule = kind.load_from_checkpoint(file, map_location="cpu", weights_only=True)
    stored = np.load(run.folder / IMAGE, allow_pickle=False)
    image = torch.from_numpy(stored.astype(np.float32) / 255 if stored.dtype == np.uint8 else stored)
    parts = split_transform(getattr(model.pre_processor, "transform", None))
    if parts is not None and model.pre_processor is not None:
        fixed, model.pre_processor.transform = parts
        is_sized = list(image.shape[-2:]) == list(run.record["dataset"]["image_size"])
        image = image if is_sized or fixed is None else fixed(image)
    return model.eval(), image


def runs_of(store: Store, experiments: Sequence[Experiment] | None = None) -> list[Run]:
    """Finished runs in the folder, of all sweeps or of these experiments alone."""
    own = None if experiments is None else {experiment.experiment_id for experiment in experiments}
    return [
        Run(folder, record)
        for folder, record in store.records()
        if record["status"] == "finished" and (own is None or record.get("experiment_id") in own)
    ]


def tidy(store: Store, experiments: Sequence[Experiment], *, keep: str) -> None:
    """Drop the checkpoints that are not to be kept, but leave one of each network that is still to be timed.

    Of `keep: best` one checkpoint per model, data set and category stays: that of the best image AUROC, ties by pixel
    AUROC.

    Args:
        store: Where the runs are.
        experiments: Those of this sweep; the files of others in the same folder are not touched.
        keep: `best`, `all` or `none`.
    """
    with store.lock(KEEP):
        runs = runs_of(store, experiments)
        for run in _worse(runs) if keep == "best" else []:
            run.record["files"]["checkpoint"] = None
            write_json(run.folder / RECORD, run.record)
            (run.folder / CHECKPOINT).replace(run.folder / NETWORK)
        _drop_spare(runs)


def clear_networks(store: Store, experiments: Sequence[Experiment]) -> None:
    """Remove what was there only to be timed."""
    with store.lock(KEEP):
        for run in runs_of(store, experiments):
            _remove(run)


def _worse(runs: Iterable[Run]) -> list[Run]:
    """All but the best checkpoint of each model, data set and category."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        if run.record["files"]["checkpoint"]:
            dataset = run.record["dataset"]
            groups.setdefault((run.record["model"], dataset["name"], dataset["category"]), []).append(run)
    return [run for group in groups.values() for run in sorted(group, key=_quality)[:-1]]


def _quality(run: Run) -> tuple[float, float, str]:
    metrics = run.record["metrics"]
    scores = [metrics[name] if metrics[name] is not None else -1.0 for name in ("image_AUROC", "pixel_AUROC")]
    return scores[0], scores[1], run.record["key"]


def _drop_spare(runs: Sequence[Run]) -> None:
    """Leave one file of each network that was not timed, and no more bytes than `MOST_BYTES`."""
    held = {run.network for run in runs if run.file is not None and run.file.name == CHECKPOINT}
    n_bytes = 0
    for run in runs:
        path = run.folder / NETWORK
        if not path.is_file():
            continue
        size = path.stat().st_size
        if run.session is not None or run.network in held or n_bytes + size > MOST_BYTES:
            _remove(run)
        else:
            held.add(run.network)
            n_bytes += size


def _remove(run: Run) -> None:
    """Remove a network that nobody asked to keep, and the image that no other is timed on."""
    (run.folder / NETWORK).unlink(missing_ok=True)
    if not (run.folder / CHECKPOINT).is_file():
        (run.folder / IMAGE).unlink(missing_ok=True)


def by_network(runs: Iterable[Run], wanted: Callable[[Run], bool]) -> dict[str, list[Run]]:
    """Runs that are wanted, by their network."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        if run.network is not None and wanted(run):
            found.setdefault(run.network, []).append(run)
    return found
