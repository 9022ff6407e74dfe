"""How a run is carried out and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.statistics.requirement import Requirement

IMAGES = 2
"""How many test images of each kind are drawn where a configuration or a call says nothing else."""


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out and what is kept of it; none of it changes a score or a metric.

    Args:
        sweep: Name under which the record is filed.
        overwrite: `missing` runs what has no record, `failed` also what failed, `all` everything; with `latency` a
            sweep also times again what was kept.
        keep_checkpoint: Save `model.ckpt` beside the record.
        images: How many test images of each kind (missed, false alarm, typical good, typical defective) to draw; 0
            draws none.
        progress: Show a progress bar of the run.
        layers: For a `backbone_id`, all layers that the sweep asks of it, so that one pass serves all its runs.
        n_threads: Threads of torch; None leaves them as they are.
        page: Draw `suspects.html` for a refinement.
        shared_fits: Of `benchmark.one_run.shared_fit`: fits of which one serves several runs of the sweep.
        poolings: Of `benchmark.one_run.shared_fit.shared_poolings`: scores that runs of the sweep take from one test.
        timed_later: The network stays beside the record until a sweep times all of its own together, see
            `benchmark.execute.latency_session`; the run itself times a few images only.
        maps_of: Ids of experiments that keep the scale of their detector and their test maps, so that ensembles of them
            can be judged, see `benchmark.one_run.kept_maps`.
        requirement: What the kept thresholds keep; None takes those of the highest F1.
        data_root: Where relative data roots start, absolute; None for `$WORKBENCH_DATA`, else the working directory.
    """

    sweep: str = ""
    overwrite: str = "missing"
    keep_checkpoint: bool = True
    images: int = 0
    progress: bool = True
    layers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    n_threads: int | None = None
    page: bool = False
    shared_fits: tuple[str, ...] = ()
    poolings: tuple[tuple[str, tuple[str, ...]], ...] = ()
    timed_later: bool = False
    maps_of: tuple[str, ...] = ()
    requirement: Requirement | None = None
    data_root: Path | None = None
