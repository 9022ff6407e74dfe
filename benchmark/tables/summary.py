"""One line of the leaderboard: the runs of a row in some categories as means, spreads and a status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmark.metrics.image import BY_KIND
from benchmark.metrics.metric_table import HEADLINE, METRICS
from benchmark.records.cells import Row, RunCell
from benchmark.records.record import Record

MEAN = "mean"
ALONE = "alone"  # in place of a session, of a model that was timed in its run
WHOLE = "all"  # the category of a data set that has none
MEASURED = (*(entry.name for entry in METRICS), "epochs")


def summary(row: Row, categories: list[str]) -> dict[str, Any]:
    """What a row's finished runs in these categories say, as columns of the leaderboard.

    ``_complete`` in the result tells whether every run finished and converged.
    """
    # Every cell the row should have in these categories; the absent ones empty.
    cells = [row.cells.get((c, s), RunCell(c, s)) for c in categories for s in row.seeds]
    found = [cell.counted for cell in cells if cell.counted is not None]
    done = [record for record in found if record.is_finished]
    seen = done or found[:1]
    line: dict[str, Any] = {
        "model": row.model,
        "backbone": row.backbone,
        "settings": row.settings,
        "dataset": row.dataset,
        "category": categories[0] or WHOLE,
        "n_seeds": len({cell.seed for cell in cells} - {cell.seed for cell in cells if cell.state != "finished"}),
        "n_categories": 1 if done else 0,
        "layers": _joined(seen, lambda r: ", ".join(r.layers)),
        "image_size": _joined(seen, lambda r: r.dataset.size),
        "threshold_source": _joined(seen, lambda r: r.thresholds.source),
        "training": row.experiment.data.training,
        "k_shot": found[0].dataset.k_shot if found else None,
        "contamination_ratio": found[0].dataset.contamination_ratio if found else None,
        "known_defects": found[0].dataset.n_known_defects if found else None,
        "synthetic": any(record.dataset.synthetic for record in seen),
        "weights_sha256": _joined(seen, lambda r: r.weights_sha256),
        "run_keys": ";".join(record.key for record in done) or None,
        "checkpoint": _joined(done, lambda r: r.files.checkpoint and (r.folder / r.files.checkpoint).as_posix()),
        "stopped_by": _joined(seen, lambda r: r.training.stopped_by),
        "reused": _joined(done, reused),
        "fit_machine": _same(done, fit_machine),
        "latency_session": _joined(done, lambda r: r.speed.latency_session or ALONE),
        "latency_note": _joined(done, lambda r: r.speed.latency_note),
        "status": _status(cells),
        "_remark": _joined(done, lambda r: r.dataset.position_remark),
        "_complete": all(cell.state == "finished" for cell in cells)
        and not any(record.is_open_ended for record in done),
    }
    for name in MEASURED:
        line[name] = _mean([record.measured(name) for record in done])
    line["image_AUROC_by_kind"] = _by_kind(done) if len(categories) == 1 else None
    for name in HEADLINE:
        line[f"{name}_std"] = _std(_by_seed(cells, categories, name))
    return line


def mean_line(row: Row, categories: list[str]) -> dict[str, Any]:
    """The mean over categories, of the categories' own means over seeds; blank where a category is."""
    parts = [summary(row, [category]) for category in categories]
    means = {name: _mean([part[name] for part in parts]) for name in MEASURED}
    n_categories = sum(part["n_categories"] for part in parts)
    return summary(row, categories) | means | {"category": MEAN, "n_categories": n_categories}


def _by_kind(records: Sequence[Record]) -> str | None:
    """Such as ``crack 0.912; scratch 0.874``: means over the runs."""
    kinds = {name: None for record in records for name in record.metrics if name.startswith(BY_KIND)}
    means = {name: _mean([record.metrics.get(name) for record in records]) for name in kinds}
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


def _by_seed(cells: list[RunCell], categories: list[str], name: str) -> list[float | None]:
    """For each seed that finished anywhere here: its mean over the categories."""
    seeds = sorted({cell.seed for cell in cells if cell.state == "finished"})
    values: dict[int, list[float | None]] = {seed: [] for seed in seeds}
    for cell in cells:
        if cell.seed in values and cell.counted is not None:
            values[cell.seed].append(cell.counted.measured(name))
    return [_mean(found) if len(found) == len(categories) else None for found in values.values()]


def fit_machine(record: Record) -> str | None:
    """Where the fit time was measured; None where the time does not include everything, and so compares with none."""
    if record.speed.fit_seconds is None or reused(record):
        return None
    cpu, n_threads, device = (record.environment.get(name) for name in ("cpu", "n_threads", "device"))
    return f"{cpu}, {n_threads} threads, {device}"


def reused(record: Record) -> str | None:
    """What of the training images an earlier run had worked out, where `fit_seconds` does not include it."""
    train = record.reused.train
    if train is None or record.speed.fit_reused_seconds is not None:
        return None
    parts = [
        name if n == train.of else f"{name} of {n} of {train.of} images"
        for name, n in (("features", train.features), ("images", train.images))
        if n
    ]
    return ", ".join([*(["bank"] if train.bank else []), *parts]) or None


def _joined(records: Sequence[Record], get: Callable[[Record], str | None]) -> str | None:
    """The distinct texts of some records, joined by ``;`` in the order of their first appearance."""
    return ";".join(dict.fromkeys(text for record in records if (text := get(record)))) or None


def _same(records: Sequence[Record], get: Callable[[Record], str | None]) -> str | None:
    """The one text of all records; None where they differ or one has none."""
    found = {get(record) for record in records}
    return found.pop() if len(found) == 1 else None


def _status(cells: list[RunCell]) -> str:
    """Such as ``3 of 3 runs``, ``2 of 3 runs, 1 failed``, ``1 of 1 runs, not converged``."""
    states = Counter(cell.state for cell in cells)
    done = [cell.counted for cell in cells if cell.counted is not None and cell.counted.is_finished]
    parts = [f"{len(done)} of {len(cells)} runs"]
    words = {"failed": "failed", "missing": "data not on disk", "not run": "not run"}
    parts += [f"{states[state]} {word}" for state, word in words.items() if states[state]]
    open_ended = sum(record.is_open_ended for record in done)
    if open_ended:
        parts.append("not converged" if open_ended == len(done) else f"{open_ended} not converged")
    return ", ".join([*parts, *dict.fromkeys(record.dataset.lack for record in done if record.dataset.lack)])
