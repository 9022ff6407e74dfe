"""Which rows no other beats in accuracy and speed at once: the Pareto front of image AUROC against latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

PARETO = "pareto"
YES, NO = "yes", "no"


def on_front(aurocs: Sequence[float], latencies: Sequence[float]) -> list[bool]:
    """For each point whether no other has an AUROC as high or higher at a latency as low or lower, and differs.

    Args:
        aurocs: Higher is better.
        latencies: Lower is better; of the same points.
    """
    points = list(zip(aurocs, latencies, strict=True))
    return [
        not any(other != point and other[0] >= point[0] and other[1] <= point[1] for other in points)
        for point in points
    ]


def mark_front(lines: Sequence[dict[str, Any]]) -> None:
    """Write `pareto` into the lines of each data set and category: `yes`, `no`, or None where a number is missing.

    Lines of runs that had not converged, or lack some, take no part. Latencies that were measured in several sessions
    do not quite compare: `latency_session` and `latency_note` of the lines say which and on what machine.
    """
    groups: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for line in lines:
        line[PARETO] = None
        if line["_complete"] and not _lacks(line):
            groups.setdefault((line["dataset"], line["category"]), []).append(line)
    for group in groups.values():
        front = on_front([one["image_AUROC"] for one in group], [one["latency_ms"] for one in group])
        for line, is_on_front in zip(group, front, strict=True):
            line[PARETO] = YES if is_on_front else NO


def _lacks(line: Mapping[str, Any]) -> bool:
    return any(pd.isna(line.get(name)) for name in ("image_AUROC", "latency_ms"))
