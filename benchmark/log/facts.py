"""What is sent of a record: parameters, numbers, the loss of each epoch, the scores, where its files lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.records.archive import Record, fact

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Facts", "facts_to_send"]

_MEASURED = (
    ("speed", "fit_seconds"), ("speed", "test_seconds"), ("speed", "latency_ms"), ("speed", "latency_p95_ms"),
    ("memory", "peak_memory_bytes"), ("memory", "model_bytes"), ("training", "epochs"),
)  # fmt: skip


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

    told, dataset = record["experiment"], record["dataset"]
    parameters = {
        "key": record["key"],
        "model": record["model"],
        "backbone": record["backbone"],
        "settings": record["settings"],
        "dataset": dataset["name"],
        "category": dataset["category"],
        "seed": told["seed"],
        "weights_sha256": fact(record, "weights", "sha256"),
        "n_train": dataset.get("n_train"),
        "threshold_source": fact(record, "thresholds", "source"),
        "stopped_by": fact(record, "training", "stopped_by"),
        "converged": fact(record, "training", "converged"),
        **dict(_flat({name: value for name, value in told.items() if name != "seed"})),
    }
    numbers = dict(record["metrics"]) | {"image_threshold": fact(record, "thresholds", "image")}
    numbers |= {names[-1]: fact(record, *names) for names in _MEASURED}
    curves = {"train_loss": fact(record, "training", "loss"), "val_loss": fact(record, "training", "val_loss")}
    files = {name: folder / file for name, file in record["files"].items() if isinstance(file, str)}
    files |= {"record": folder / "record.json"}
    what = (record["model"], record["backbone"], dataset["name"], dataset["category"], f"seed {told['seed']}")
    return Facts(
        name=" ".join(filter(None, what)),
        key=record["key"],
        parameters={name: value for name, value in parameters.items() if value not in (None, "")},
        metrics={name: float(value) for name, value in numbers.items() if _is_number(value)},
        curves={name: [float(value) for value in curve] for name, curve in curves.items() if curve},
        files={name: str(path.resolve()) for name, path in files.items() if path.is_file()},
        scores=pd.read_csv(files["scores"], keep_default_na=False) if "scores" in files else None,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _flat(tree: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    """`{"model": {"init_args": {"layers": [..]}}}` -> `model.layers`, lists as text."""
    for name, value in tree.items():
        place = where if name == "init_args" else f"{where}.{name}" if where else name
        if isinstance(value, Mapping):
            yield from _flat(value, place)
        else:
            yield place, value if isinstance(value, str | int | float | bool | None) else str(value)
