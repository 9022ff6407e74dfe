"""From records to one frame: what each augmentation changes, against the same detector without any."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from benchmark.records.canonical_experiment import is_location
from benchmark.records.cells import counting
from benchmark.records.record import Record

CHANGED = ("image_AUROC", "pixel_AUROC")
AUGMENTATION = (
    "dataset", "category", "detector", "augmentation", "where", "n_views", "merge", "n_seeds",
    *(f"{name}{part}" for name in CHANGED for part in ("", "_std", "_change", "_change_std", "_beyond")),
    "status", "run_keys",
)  # fmt: skip
"""Columns of the sheet Augmentation, in order."""
IDENTITY = "identity"
_TEXTS = frozenset({
    "dataset", "category", "detector", "augmentation", "where", "merge", "status", "run_keys",
    *(f"{name}_beyond" for name in CHANGED),
})  # fmt: skip
_WHERE = {"train": 0, "test": 1, "tta": 2, "both": 3}


def augmentation_frame(records: Sequence[Record]) -> pd.DataFrame:
    """A row per detector, augmentation and where, means over seeds; columns `AUGMENTATION`.

    Empty where nothing was augmented. Rows of a detector stand together, the plain run (`identity`) first.

    - *_std: sample standard deviation over seeds, blank for one seed.
    - *_change: mean over the seeds, those alone that the plain run has too, of the difference from it at the same seed;
      *_change_std: the sample standard deviation of these differences, which is the spread.
    - *_beyond: `better` or `worse` where the mean change exceeds the spread, `no` where it does not, blank with fewer
      than two pairs. With three seeds chance alone exceeds it about once in four or five times, so that it says what
      to look at again, not what is proven. Of a detector that draws nothing itself the spread is that of the
      augmentation's draws alone; test images are the same for all seeds, so that theirs is no part of it.
    """
    groups: dict[tuple, dict[str, list[Record]]] = {}  # by what stays the same, then by augmentation
    tested = [r for r in records if r.is_finished and r.metrics.get("image_AUROC") is not None]
    for record in counting(tested, by=lambda r: r.experiment_id).values():
        told = json.dumps([part.on_disk() for part in record.experiment.augmentation], sort_keys=True)
        groups.setdefault(_condition(record), {}).setdefault(told, []).append(record)
    lines = []
    for found in groups.values():
        if found.keys() == {"[]"}:
            continue
        plain = found.get("[]", [])
        lines += [_line(runs, plain) for runs in found.values()]
    lines.sort(key=_place)
    frame = pd.DataFrame(lines, columns=list(AUGMENTATION))
    return frame.astype({name: "float64" for name in frame if name not in _TEXTS})


def _line(runs: Sequence[Record], plain: Sequence[Record]) -> dict[str, Any]:
    record = runs[0]
    parts, views = record.experiment.augmentation, record.experiment.views
    open_ended = sum(run.is_open_ended for run in runs)
    line: dict[str, Any] = {
        "dataset": record.dataset.name,
        "category": record.dataset.category,
        "detector": _detector(record),
        "augmentation": " + ".join(part.name for part in parts) or IDENTITY,
        "where": " + ".join(part.where for part in parts),
        "n_views": views and views.n_views,
        "merge": views and views.merge,
        "n_seeds": len(runs),
        "status": f"{len(runs)} runs" + (f", {open_ended} not converged" if open_ended else ""),
        "run_keys": ";".join(sorted(run.key for run in runs)),
    }
    for name in CHANGED:
        values, before = _by_seed(runs, name), _by_seed(plain, name)
        change = (values - before).dropna() if parts else pd.Series(dtype=float)
        spread = change.std(ddof=1) if len(change) > 1 else None
        line |= {
            name: values.mean() if values.notna().all() else None,
            f"{name}_std": values.std(ddof=1) if len(values) > 1 and values.notna().all() else None,
            f"{name}_change": change.mean() if len(change) else None,
            f"{name}_change_std": spread,
            f"{name}_beyond": _beyond(change.mean(), spread),
        }
    return line


def _beyond(change: float, spread: float | None) -> str | None:
    if spread is None:
        return None
    if abs(change) <= spread or round(change, 9) == 0:
        return "no"
    return "better" if change > 0 else "worse"


def _by_seed(runs: Sequence[Record], name: str) -> pd.Series:
    return pd.Series({run.seed: run.metrics.get(name) for run in runs}, dtype=float)


def _condition(record: Record) -> tuple[str, str, str]:
    """What stays the same where augmentations are compared: data, model, trainer and refinement."""
    experiment, dataset = record.experiment, record.dataset
    data = {name: value for name, value in experiment.data.init_args.items() if not is_location(name)}
    rest = [experiment.model.on_disk(), experiment.trainer, experiment.refinement]
    return (dataset.name, dataset.category, json.dumps([data, rest, dataset.sha256], sort_keys=True, default=str))


def _detector(record: Record) -> str:
    """Model, backbone, size in px and settings without the augmentation, which stands last among them."""
    settings = record.settings.split("augmentation=")[0].rstrip(", ")
    sides = dict.fromkeys(record.dataset.image_size)
    size = f"{' x '.join(map(str, sides))} px" if sides else ""
    return ", ".join(filter(None, (record.detector, size, settings)))


def _place(line: dict[str, Any]) -> tuple:
    """Rows of a detector together: the plain one, then by name, then by where."""
    rank = [_WHERE[where] for where in line["where"].split(" + ") if where]
    names = (line["dataset"], line["category"], line["detector"])
    return (*names, len(rank), line["augmentation"], rank, line["n_views"] or 0, line["merge"] or "")
