"""What is sent of a record: parameters, numbers, the loss of each epoch, the scores, where its files lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.records.record import Record
from benchmark.records.run_files import RECORD

if TYPE_CHECKING:
    import pandas as pd

_MEASURED = (
    "fit_seconds",
    "test_seconds",
    "latency_ms",
    "latency_p95_ms",
    "peak_memory_bytes",
    "model_bytes",
    "epochs",
)


@dataclass(frozen=True)
class Facts:
    """One finished run as a logger takes it.

    Attributes:
        name: For a list of runs.
        key: Of the record.
        parameters: What was run, flat; texts and numbers.
        metrics: By name, without those that could not be computed.
        curves: By name, a number for each epoch from the first on.
        files: Absolute paths, by what they are.
        scores: A row per test image; None where nothing was tested.
    """

    name: str
    key: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    curves: dict[str, list[float]]
    files: dict[str, str]
    scores: pd.DataFrame | None


def facts_to_send(record: Record, folder: Path) -> Facts:
    """Take them from a record and the folder it lies in."""
    import pandas as pd

    told, dataset, training = record.experiment, record.dataset, record.training
    parameters = {
        "key": record.key,
        "model": record.model,
        "backbone": record.backbone,
        "settings": record.settings,
        "dataset": dataset.name,
        "category": dataset.category,
        "seed": told.seed,
        "weights_sha256": record.weights_sha256,
        "n_train": dataset.n_train,
        "threshold_source": record.thresholds.source,
        "stopped_by": training.stopped_by,
        "converged": training.converged,
        **dict(_flat({name: value for name, value in told.on_disk().items() if name != "seed"})),
    }
    numbers = record.metrics | {"image_threshold": record.thresholds.image}
    numbers |= {name: record.measured(name) for name in _MEASURED}
    curves = {"train_loss": training.loss, "val_loss": training.val_loss}
    files = {"scores": record.files.scores, "checkpoint": record.files.checkpoint, "record": RECORD}
    paths = {name: folder / file for name, file in files.items() if file is not None}
    return Facts(
        name=" ".join([record.detector, dataset.label, f"seed {told.seed}"]),
        key=record.key,
        parameters={name: value for name, value in parameters.items() if value not in (None, "")},
        metrics={name: float(value) for name, value in numbers.items() if value is not None and math.isfinite(value)},
        curves={name: [float(value) for value in curve] for name, curve in curves.items() if curve},
        files={name: str(path.resolve()) for name, path in paths.items() if path.is_file()},
        scores=pd.read_csv(paths["scores"], keep_default_na=False) if "scores" in paths else None,
    )


def _flat(tree: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    """`{"model": {"init_args": {"layers": [..]}}}` -> `model.layers`, lists as text."""
    for name, value in tree.items():
        place = where if name == "init_args" else f"{where}.{name}" if where else name
        if isinstance(value, Mapping):
            yield from _flat(value, place)
        else:
            yield place, value if isinstance(value, str | int | float | bool | None) else str(value)
