"""A row per record, and a row per run that was asked for and has no result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.metrics.metric_table import METRICS
from benchmark.records.cells import Row
from benchmark.records.record import PROTOCOL_VERSION, Record
from benchmark.tables.summary import reused

_MEASURED = [entry.name for entry in METRICS]
_FACTS: dict[str, Callable[[Record], Any]] = {
    "seed": lambda r: r.seed,
    "epochs": lambda r: r.training.epochs,
    "stopped_by": lambda r: r.training.stopped_by,
    "converged": lambda r: r.training.converged,
    "threshold_image": lambda r: r.thresholds.image,
    "threshold_pixel": lambda r: r.thresholds.pixel,
    "threshold_source": lambda r: r.thresholds.source,
    "threshold_label_free": lambda r: r.thresholds.label_free,
    "n_train": lambda r: r.dataset.n_train,
    "n_test_normal": lambda r: r.dataset.n_test_normal,
    "n_test_anomalous": lambda r: r.dataset.n_test_anomalous,
    "n_masks": lambda r: r.dataset.n_masks,
    "synthetic": lambda r: r.dataset.synthetic,
    "training": lambda r: r.dataset.training,
    "k_shot": lambda r: r.dataset.k_shot,
    "contamination_ratio": lambda r: r.dataset.contamination_ratio,
    "known_defects": lambda r: r.dataset.n_known_defects,
    "latency_session": lambda r: r.speed.latency_session,
    "latency_note": lambda r: r.speed.latency_note,
    "seconds": lambda r: r.seconds,
    "started": lambda r: r.started,
    "sweep": lambda r: r.sweep,
    "key": lambda r: r.key,
    "weights_source": lambda r: r.weights and r.weights.source,
    "weights_sha256": lambda r: r.weights_sha256,
    "dataset_sha256": lambda r: r.dataset.sha256,
    "device": lambda r: r.environment.get("device"),
    "cpu": lambda r: r.environment.get("cpu"),
    "commit": lambda r: r.environment.get("commit"),
    "folder": lambda r: r.folder.as_posix(),
}
_RUN_COLUMNS = [
    "status", "in_table", "dataset", "category", "model", "backbone", "layers", "settings", "image_size",
    "seed", *_MEASURED, "reused", *(name for name in _FACTS if name != "seed"),
]  # fmt: skip
_FAILURE_COLUMNS = [
    "dataset", "category", "model", "backbone", "settings", "seed", "state", "error", "message", "started", "folder",
    "synthetic",
]  # fmt: skip
_STATES = {"failed": "failed", "missing": "data not on disk", "not run": "not run yet"}


def runs_frame(records: Sequence[Record], counted: set[Path], settings: Mapping[Path, str]) -> pd.DataFrame:
    """Every record with its facts.

    Args:
        records: All of them.
        counted: Folders of the records that the leaderboard uses; ``in_table`` says of the others why not.
        settings: Of records by folder, where more is told of them than they tell themselves.
    """
    lines = [_run(r, settings.get(r.folder, r.settings), is_counted=r.folder in counted) for r in records]
    lines.sort(key=lambda line: [str(line[n] or "") for n in ("dataset", "category", "model", "backbone", "settings")])
    return pd.DataFrame(lines, columns=_RUN_COLUMNS).astype(dict.fromkeys(_MEASURED, "float64"))


def failures_frame(rows: Sequence[Row], synthetic: set[str]) -> pd.DataFrame:
    """Every run that was asked for and has no result, with the reason.

    Args:
        rows: All of them.
        synthetic: Names of the data sets whose defects are drawn.
    """
    lines = []
    for row in rows:
        for _, cell in sorted(row.cells.items()):
            if cell.state == "finished":
                continue
            record = cell.counted
            error = record.error if record is not None else None
            lines.append({
                "dataset": row.dataset,
                "category": cell.category,
                "model": row.model,
                "backbone": row.backbone,
                "settings": row.settings,
                "seed": cell.seed,
                "state": _STATES[cell.state],
                "error": error and error.type,
                "message": (error and error.message) or "Asked for by a plan; the same command runs it.",
                "started": record and record.started,
                "folder": record and record.folder.as_posix(),
                "synthetic": row.dataset in synthetic,
            })  # fmt: skip
    return pd.DataFrame(lines, columns=_FAILURE_COLUMNS)


def _run(record: Record, settings: str, *, is_counted: bool) -> dict[str, Any]:
    line: dict[str, Any] = {
        "status": record.status,
        "dataset": record.dataset.name,
        "category": record.dataset.category,
        "model": record.model,
        "backbone": record.backbone,
        "layers": ", ".join(record.layers),
        "settings": settings,
        "image_size": record.dataset.size,
        "reused": reused(record),
        "in_table": "yes" if is_counted else "no, superseded",
    }
    if not record.is_current:
        line["in_table"] = f"no, protocol {record.protocol_version} is not {PROTOCOL_VERSION}"
    line |= {name: record.measured(name) for name in _MEASURED}
    return line | {name: get(record) for name, get in _FACTS.items()}
