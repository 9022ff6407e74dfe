"""A row per record, and a row per run that was asked for and has no result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmark.metrics.metric_table import METRICS
from benchmark.plan.experiment import PROTOCOL_VERSION
from benchmark.records.archive import Record, fact
from benchmark.records.cells import Row
from benchmark.tables.summary import image_size, measured, reused

__all__ = ["failures_frame", "runs_frame"]

_MEASURED = [entry.name for entry in METRICS]
_FACTS = {
    "seed": ("experiment", "seed"),
    "epochs": ("training", "epochs"),
    "stopped_by": ("training", "stopped_by"),
    "converged": ("training", "converged"),
    "threshold_image": ("thresholds", "image"),
    "threshold_pixel": ("thresholds", "pixel"),
    "threshold_source": ("thresholds", "source"),
    "threshold_label_free": ("thresholds", "label_free"),
    "n_train": ("dataset", "n_train"),
    "n_test_normal": ("dataset", "n_test_normal"),
    "n_test_anomalous": ("dataset", "n_test_anomalous"),
    "n_masks": ("dataset", "n_masks"),
    "synthetic": ("dataset", "synthetic"),
    "k_shot": ("dataset", "k_shot"),
    "contamination_ratio": ("dataset", "contamination_ratio"),
    "latency_session": ("speed", "latency_session"),
    "latency_note": ("speed", "latency_note"),
    "seconds": ("seconds",),
    "started": ("started",),
    "sweep": ("sweep",),
    "key": ("key",),
    "weights_source": ("weights", "source"),
    "weights_sha256": ("weights", "sha256"),
    "dataset_sha256": ("dataset", "sha256"),
    "device": ("environment", "device"),
    "cpu": ("environment", "cpu"),
    "commit": ("environment", "commit"),
    "folder": ("folder",),
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


def runs_frame(records: Sequence[Record], counted: set[str], settings: Mapping[str, str]) -> pd.DataFrame:
    """Every record with its facts.

    Args:
        records: All of them.
        counted: Folders of the records that the leaderboard uses; ``in_table`` says of the others why not.
        settings: Of records by folder, where more is told of them than they tell themselves.
    """
    lines = [_run(record, counted) | _told(record, settings) for record in records]
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
        for _, slot in sorted(row.slots.items()):
            if slot.state == "finished":
                continue
            record = slot.counted or {}
            line: dict[str, Any] = dict.fromkeys(_FAILURE_COLUMNS)
            line |= row.described | {"dataset": row.dataset, "category": slot.category, "seed": slot.seed}
            line |= {
                "state": _STATES.get(slot.state, slot.state),
                "error": fact(record, "error", "type"),
                "message": fact(record, "error", "message") or "Asked for by a plan; the same command runs it.",
                "started": record.get("started"),
                "folder": record.get("folder"),
                "synthetic": row.dataset in synthetic,
            }
            lines.append(line)
    return pd.DataFrame(lines, columns=_FAILURE_COLUMNS)


def _told(record: Record, settings: Mapping[str, str]) -> dict[str, str]:
    return {"settings": settings[record["folder"]]} if record["folder"] in settings else {}


def _run(record: Record, counted: set[str]) -> dict[str, Any]:
    line: dict[str, Any] = {name: record.get(name) for name in ("status", "model", "backbone", "settings")}
    line |= {name: fact(record, *path) for name, path in _FACTS.items()}
    line |= {name: measured(record, name) for name in _MEASURED}
    line |= {
        "dataset": record["dataset"]["name"],
        "category": record["dataset"].get("category"),
        "layers": ", ".join(record.get("layers") or []),
        "image_size": image_size(record),
        "reused": reused(record),
    }
    if record.get("protocol_version") != PROTOCOL_VERSION:
        line["in_table"] = f"no, protocol {record.get('protocol_version')} is not {PROTOCOL_VERSION}"
    else:
        line["in_table"] = "yes" if record["folder"] in counted else "no, superseded"
    return line
