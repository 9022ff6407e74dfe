"""An ensemble of finished runs, judged from their scores and maps: a record as a fit of it would leave."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.one_run.kept_maps import MAPS, KeptMaps
from benchmark.one_run.preparation import Prepared, record_header
from benchmark.records.packed import read_calibration, read_scores
from benchmark.records.record import Record
from benchmark.records.record_sections import Memory, Speed, Training
from benchmark.statistics.requirement import Requirement

SAME = ["image", "label", "kind"]


@dataclass(frozen=True)
class JudgedMember:
    """A finished run as a member.

    Attributes:
        record: Of the run.
        output: Folder that the record's folder is relative to.
    """

    record: Record
    output: Path

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.output / self.record.folder


def judge_ensemble(
    prepared: Prepared,
    members: Sequence[JudgedMember],
    workspace: Path,
    *,
    combine: str,
    sweep: str = "",
    requirement: Requirement | None = None,
) -> Record:
    """The record of an ensemble; its tables are written to the workspace.

    Scores and maps are those that `extensions.Ensemble` computes from the same members, maps to 16 bits.

    Args:
        prepared: The experiment that would fit it.
        members: Finished runs on the same data.
        workspace: Folder for the tables.
        combine: `mean` or `maximum`.
        sweep: Under which it is filed.
        requirement: What its thresholds keep.

    Raises:
        ValueError: The runs tested other images, or what they kept cannot be read.
        OSError: What they kept is not there.
    """
    from benchmark.one_run.evaluation import ScoreCollector, write_evaluation
    from benchmark.one_run.machine import environment
    from extensions.models.ensemble.scale import HELD_OUT, Scale

    clock = time.perf_counter()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    record = record_header(prepared, sweep=sweep, started=started)
    scales = [Scale.read(member.folder / HELD_OUT) for member in members]
    tables = [read_scores(member.output, member.record) for member in members]
    samples = tables[0].drop(columns=["score", "fold"]).assign(path=tables[0]["image"])
    scores = _joined(tables, scales, combine)
    maps, masks = _maps([KeptMaps.read(member.folder / MAPS) for member in members], tables[0]["image"], combine)
    collector = ScoreCollector(samples, with_masks=masks is not None)
    collector.take(scores, maps, masks)
    calibration = _calibration(members, scales, combine)
    part_score = record.dataset.part_score
    evaluation = collector.finish(requirement=requirement, calibration=calibration, part_score=part_score)
    files = write_evaluation(evaluation, workspace, calibration=calibration)
    sizes = [member.record.dataset.image_size for member in members]
    n_bytes = [member.record.memory.model_bytes for member in members]
    largest = max(sizes, key=lambda size: size[0] * size[1] if size else 0)
    found = {
        "dataset": record.dataset.model_copy(update={"image_size": list(largest)}),
        "status": "finished",
        "metrics": evaluation.metrics,
        "thresholds": evaluation.thresholds,
        "training": joined_training([member.record.training for member in members]),
        "speed": joined_speed([member.record.speed for member in members], held_out=[one.seconds for one in scales]),
        "memory": Memory(model_bytes=None if None in n_bytes else sum(one for one in n_bytes if one is not None)),
        "files": files,
        "members": [member.record.key for member in members],
        "environment": dict(environment()),
        "seconds": time.perf_counter() - clock,
    }
    return record.model_copy(update=found)


def _joined(tables: Sequence[pd.DataFrame], scales: Sequence, combine: str) -> np.ndarray:
    """Scores (N,) of the images of the first table, in float32 as the model computes them.

    Raises:
        ValueError: The tables are of other images.
    """
    import torch

    from extensions.models.ensemble.scale import combined, standardized

    if not all(tables[0][SAME].equals(table[SAME]) for table in tables[1:]):
        msg = "the runs scored other images, or call them otherwise: run the sweep again with --overwrite all"
        raise ValueError(msg)
    parts = [
        standardized(torch.tensor(table["score"].to_numpy(np.float32)), scale.score_location, scale.score_scale)
        for table, scale in zip(tables, scales, strict=True)
    ]
    return combined(parts, combine).numpy()


def _maps(kept: Sequence[KeptMaps], images: pd.Series, combine: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Maps (N, H, W) float32 at the size of the largest, and its masks.

    Raises:
        ValueError: They are of other images.
    """
    import torch

    from extensions.models.ensemble.scale import at_size, combined

    if any(one.images != images.tolist() for one in kept):
        msg = "the maps that the runs kept are of other images: run the sweep again with --overwrite all"
        raise ValueError(msg)
    with_maps = [one for one in kept if one.maps is not None]
    if not with_maps:
        return None, None
    largest = max(with_maps, key=lambda one: 0 if one.maps is None else one.maps[0].size)
    assert largest.maps is not None
    size = (largest.maps.shape[-2], largest.maps.shape[-1])
    joined = np.empty(largest.maps.shape, np.float32)
    for row in range(len(joined)):  # an image at a time: all maps of all members would be twice in memory
        parts = [
            torch.from_numpy(one.maps[row].astype(np.float32))[None, None] for one in with_maps if one.maps is not None
        ]
        joined[row] = combined([at_size(part, size) for part in parts], combine)[0, 0].numpy()
    return joined, largest.masks


def _calibration(members: Sequence[JudgedMember], scales: Sequence, combine: str) -> pd.DataFrame | None:
    """Scores of the images that thresholds alone are fitted on; None unless all runs have them."""
    found = [read_calibration(member.output, member.record) for member in members]
    tables = [table for table in found if table is not None]
    if len(tables) < len(found):
        return None
    return tables[0].assign(score=_joined(tables, scales, combine))


def joined_training(parts: Sequence[Training]) -> Training:
    """How the fits of the members went, as one: it had converged where all had."""
    converged = [part.converged for part in parts]
    return Training(
        epochs=max((part.epochs or 0 for part in parts), default=0),
        stopped_by=" + ".join(dict.fromkeys(part.stopped_by or "not told" for part in parts)),
        converged=False if False in converged else None if None in converged else True,
    )


def joined_speed(parts: Sequence[Speed], *, held_out: Sequence[float] = ()) -> Speed:
    """Times of an ensemble: sums of its members', which see an image one after the other.

    The fit is that of all members, and once more without the held-out images. A latency is that of a session only where
    all were timed in it; the sum of the members' 95th percentiles is no less than that of the sum.
    """
    sessions = {part.latency_session for part in parts}
    fit = _total([part.fit_seconds for part in parts])
    return Speed(
        fit_seconds=None if fit is None else fit + sum(held_out),
        fit_own_seconds=_total([part.fit_own_seconds for part in parts]),
        test_seconds=_total([part.test_seconds for part in parts]),
        latency_ms=_total([part.latency_ms for part in parts]),
        latency_p95_ms=_total([part.latency_p95_ms for part in parts]),
        latency_min_ms=_total([part.latency_min_ms for part in parts]),
        latency_max_ms=_total([part.latency_max_ms for part in parts]),
        latency_batch_size=parts[0].latency_batch_size,
        latency_device=parts[0].latency_device,
        latency_session=sessions.pop() if len(sessions) == 1 else None,
        latency_note=parts[0].latency_note,
    )


def _total(values: Sequence[float | None]) -> float | None:
    """The sum; None where a part of it is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
