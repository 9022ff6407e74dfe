"""One line of the leaderboard: the runs of a row in some categories as means, spreads and a status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmark.metrics.image import BY_KIND
from benchmark.metrics.metric_table import HEADLINE, METRICS
from benchmark.records.archive import Record, fact
from benchmark.records.cells import Row, Slot

__all__ = [
    "MEAN",
    "MEASURED",
    "fit_machine",
    "image_size",
    "mean_line",
    "measured",
    "nothing_to_test_with",
    "reused",
    "summary",
]

MEAN = "mean"
ALONE = "alone"  # in place of a session, of a model that was timed in its run
WHOLE = "all"  # the category of a data set that has none
MEASURED = (*(entry.name for entry in METRICS), "epochs")
_SECTION = {
    "epochs": "training", "fit_seconds": "speed", "latency_ms": "speed", "latency_p95_ms": "speed",
    "latency_min_ms": "speed", "latency_max_ms": "speed", "fit_reused_seconds": "speed",
    "peak_memory_bytes": "memory", "model_bytes": "memory",
}  # fmt: skip


def _slots(row: Row, categories: Sequence[str]) -> list[Slot]:
    """Every slot the row should have in these categories; the absent ones empty."""
    return [row.slots.get((c, s), Slot(c, s)) for c in categories for s in row.seeds]


def summary(row: Row, categories: list[str]) -> dict[str, Any]:
    """What a row's finished runs in these categories say, as columns of the leaderboard.

    ``_complete`` in the result tells whether every run finished and converged.
    """
    slots = _slots(row, categories)
    done = [slot.counted for slot in slots if slot.counted is not None and slot.state == "finished"]
    any_record = next((slot.counted for slot in slots if slot.counted is not None), {})
    seen = done or [any_record]
    line: dict[str, Any] = row.described | {
        "dataset": row.dataset,
        "category": categories[0] or WHOLE,
        "n_seeds": len({slot.seed for slot in slots} - {slot.seed for slot in slots if slot.state != "finished"}),
        "n_categories": 1 if done else 0,
        "layers": _joined(seen, lambda r: ", ".join(r.get("layers") or [])),
        "image_size": _joined(seen, image_size),
        "threshold_source": _joined(seen, lambda r: fact(r, "thresholds", "source")),
        "k_shot": fact(any_record, "dataset", "k_shot"),
        "contamination_ratio": fact(any_record, "dataset", "contamination_ratio"),
        "synthetic": any(fact(r, "dataset", "synthetic") for r in seen),
        "weights_sha256": _joined(seen, lambda r: fact(r, "weights", "sha256")),
        "run_keys": ";".join(record["key"] for record in done) or None,
        "checkpoint": _joined(done, _checkpoint),
        "stopped_by": _joined(seen, lambda r: fact(r, "training", "stopped_by")),
        "reused": _joined(done, reused),
        "fit_machine": _same(done, fit_machine),
        "latency_session": _joined(done, lambda r: fact(r, "speed", "latency_session") or ALONE),
        "latency_note": _joined(done, lambda r: fact(r, "speed", "latency_note")),
        "status": _status(slots),
        "_complete": all(slot.state == "finished" for slot in slots)
        and all(fact(record, "training", "converged") is not False for record in done),
    }
    for name in MEASURED:
        line[name] = _mean([measured(record, name) for record in done])
    line["image_AUROC_by_kind"] = _by_kind(done) if len(categories) == 1 else None
    for name in HEADLINE:
        line[f"{name}_std"] = _std(_by_seed(slots, categories, name))
    return line


def mean_line(row: Row, categories: list[str]) -> dict[str, Any]:
    """The mean over categories, of the categories' own means over seeds; blank where a category is."""
    parts = [summary(row, [category]) for category in categories]
    means = {name: _mean([part[name] for part in parts]) for name in MEASURED}
    n_categories = sum(part["n_categories"] for part in parts)
    return summary(row, categories) | means | {"category": MEAN, "n_categories": n_categories}


def _by_kind(records: Sequence[Record]) -> str | None:
    """Such as ``crack 0.912; scratch 0.874``: means over the runs."""
    kinds = {name: None for record in records for name in record["metrics"] if name.startswith(BY_KIND)}
    means = {name: _mean([record["metrics"].get(name) for record in records]) for name in kinds}
    told = [f"{name.removeprefix(BY_KIND)} {value:.3f}" for name, value in means.items() if value is not None]
    return "; ".join(told) or None


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean, or None when a value is missing or there is none."""
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found and len(found) == len(values) else None


def _std(values: Sequence[float | None]) -> float | None:
    """Sample standard deviation, or None when a value is missing or there are fewer than two."""
    found = [value for value in values if value is not None]
    return float(np.std(found, ddof=1)) if len(found) == len(values) and len(found) > 1 else None


def _by_seed(slots: list[Slot], categories: list[str], name: str) -> list[float | None]:
    """For each seed that finished anywhere here: its mean over the categories."""
    seeds = sorted({slot.seed for slot in slots if slot.state == "finished"})
    values: dict[int, list[float | None]] = {seed: [] for seed in seeds}
    for slot in slots:
        if slot.seed in values and slot.counted is not None:
            values[slot.seed].append(measured(slot.counted, name))
    return [_mean(found) if len(found) == len(categories) else None for found in values.values()]


def measured(record: Record, name: str) -> float | None:
    """A measured quantity of one record."""
    return fact(record, _SECTION.get(name, "metrics"), name)


def image_size(record: Record) -> str | None:
    """Height x width that the network saw, in px."""
    size = fact(record, "dataset", "image_size")
    return "x".join(str(side) for side in size) if size else None


def nothing_to_test_with(record: Record) -> str | None:
    """Which kind of images a test set lacks, so that nothing tells how well they are told apart; None for neither."""
    data = record["dataset"]
    for kind in ("anomalous", "normal"):
        if data.get(f"n_test_{kind}") == 0:
            return f"no {kind} test images"
    return None


def fit_machine(record: Record) -> str | None:
    """Where the fit time was measured; None where the time does not include everything, and so compares with none."""
    machine = record.get("environment") or {}
    if measured(record, "fit_seconds") is None or reused(record):
        return None
    return f"{machine.get('cpu')}, {machine.get('n_threads')} threads, {machine.get('device')}"


def reused(record: Record) -> str | None:
    """What of the training images an earlier run had worked out, where `fit_seconds` does not include it."""
    train = fact(record, "reused", "train")
    if not train or fact(record, "speed", "fit_reused_seconds") is not None:
        return None
    parts = [
        name if train[name] == train["of"] else f"{name} of {train[name]} of {train['of']} images"
        for name in ("features", "images")
        if train.get(name)
    ]
    return ", ".join([*(["bank"] if train.get("bank") else []), *parts]) or None


def _checkpoint(record: Record) -> str | None:
    name = fact(record, "files", "checkpoint")
    return f"{record['folder']}/{name}" if name and "folder" in record else name


def _joined(records: Sequence[Record], get: Callable[[Record], str | None]) -> str | None:
    """The distinct texts of some records, joined by ``;`` in the order of their first appearance."""
    return ";".join(dict.fromkeys(text for record in records if (text := get(record)))) or None


def _same(records: Sequence[Record], get: Callable[[Record], str | None]) -> str | None:
    """The one text of all records; None where they differ or one has none."""
    found = {get(record) for record in records}
    return found.pop() if len(found) == 1 else None


def _status(slots: list[Slot]) -> str:
    """Such as ``3 of 3 runs``, ``2 of 3 runs, 1 failed``, ``1 of 1 runs, not converged``."""
    states = Counter(slot.state for slot in slots)
    done = [slot.counted for slot in slots if slot.state == "finished"]
    parts = [f"{len(done)} of {len(slots)} runs"]
    words = {"failed": "failed", "missing": "data not on disk", "not run": "not run"}
    parts += [f"{states[state]} {word}" for state, word in words.items() if states[state]]
    open_ended = sum(1 for record in done if record and fact(record, "training", "converged") is False)
    if open_ended:
        parts.append("not converged" if open_ended == len(done) else f"{open_ended} not converged")
    return ", ".join([*parts, *dict.fromkeys(filter(None, (nothing_to_test_with(r) for r in done if r)))])
