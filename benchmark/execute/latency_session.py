"""The latency of all networks of a sweep, measured together: in turns, several times round, so that they compare."""

from __future__ import annotations

import gc
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.one_run.kept_networks import FinishedRun, by_network, clear_networks, load_network, runs_of
from benchmark.plan.experiment import Experiment
from benchmark.records.record_file import write_record
from benchmark.records.record_sections import Speed
from benchmark.records.store import KEEP, Store
from extensions.runtime.freed_memory import give_back_memory
from extensions.runtime.progress import progress_bar

if TYPE_CHECKING:
    import torch
    from anomalib.models import AnomalibModule

logger = logging.getLogger(__name__)

ROUNDS = 5
MORE_ROUNDS = 9  # on a busy machine
FEWEST_ROUNDS = 3
STEADY = 0.05  # part of the median within which the turns of a network lie, so that more would tell nothing
TURN: dict[str, Any] = {"warm_up": 2, "enough": 3, "repeats": 10, "enough_s": 0.15}  # of `time_images`
LIMIT = (60.0, 2.0)  # s, and s a network, after which no round begins beyond `FEWEST_ROUNDS`
SLOW_S = 60.0  # a network, after which no other round begins: of images in hundreds of tiles one must do
MEMORY_SHARE = 0.25  # of the memory that is free, for networks that wait for their turn
LOCK = "latency"


@dataclass
class _Timed:
    """One network and its times in ms.

    Attributes:
        run: Where it is loaded from.
        turns: The median of each turn.
        times: All of them.
    """

    run: FinishedRun
    turns: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def n_views(self) -> int:
        views = self.run.record.experiment.views
        return (views and views.n_views) or 1

    @property
    def is_steady(self) -> bool:
        return max(self.turns) - min(self.turns) <= STEADY * float(np.median(self.turns))

    def summary(self) -> Speed:
        """The median over the turns, the least and the largest of them, p95 of all times."""
        return Speed(
            latency_ms=float(np.median(self.turns)),
            latency_p95_ms=float(np.percentile(self.times, 95)),
            latency_min_ms=min(self.turns),
            latency_max_ms=max(self.turns),
            latency_n=len(self.times),
            latency_turns=len(self.turns),
            latency_of=self.run.record.key,
        )


def measure_latencies(
    store: Store, experiments: Sequence[Experiment], *, again: bool = False, progress: bool = False
) -> str | None:
    """Time the networks of a folder in turns, write the times into their records, and return the session's name.

    Each network is timed once, for all runs that have it: those that differ in seed or data alone share one. With the
    networks of these experiments all others in the folder are timed again whose checkpoints were kept, so that they
    compare. Nothing is done, and None returned, when there is nothing new to time.

    Args:
        store: Where the runs are.
        experiments: Of the sweep that ended.
        again: Time what is at hand even if all of it was timed before.
        progress: Show a bar when it takes longer than two seconds.
    """
    with store.lock(LOCK):
        runs, ids = runs_of(store), {experiment.experiment_id for experiment in experiments}
        own = [run for run in runs if run.record.experiment_id in ids]
        if not any(_is_here(run) for run in own if (again or run.session is None) and run.file):
            clear_networks(store, own)
            return None
        at_hand = by_network(runs, lambda run: run.file is not None and _is_here(run) and run.record.is_current)
        timed = {name: _Timed(alike[0]) for name, alike in at_hand.items()}
        gc.collect()  # a trainer and its model hold one another
        give_back_memory()
        session = _time_in_turns(timed, progress=progress)
        _write(store, timed, session)
        clear_networks(store, own)
    if session.latency_note:
        logger.warning("latency was %s: its numbers are less sure", session.latency_note)
    return session.latency_session


def _time_in_turns(timed: dict[str, _Timed], *, progress: bool) -> Speed:
    """Give each network its turns; one that cannot be loaded is left out. Returns what is true of the session."""
    import torch

    from benchmark.one_run.latency import time_images
    from benchmark.one_run.machine import MachineLoad
    from extensions.models.common.threads import compute_on
    from extensions.runtime.float32 import exact_float32
    from extensions.runtime.lightning_runs import quiet

    n_threads = torch.get_num_threads()
    shelf, load = _Shelf(), MachineLoad()
    started = time.monotonic()
    n_rounds, done, waiting = ROUNDS, 0, list(timed)
    bar = progress_bar(title="latency", total=n_rounds * len(timed), unit="turn", hidden=not progress)
    with bar, quiet(), exact_float32():
        while done < n_rounds and waiting:
            for name in waiting:
                one = timed[name]
                compute_on(n_threads)
                try:
                    with shelf.lend(name, one.run) as (model, image):
                        load.work()
                        times = time_images(model, image, n_views=one.n_views, **TURN)
                except Exception as error:
                    logger.debug("cannot be timed", exc_info=True)
                    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                    logger.warning("%s: its latency stays that of its run (%s)", one.run.folder, reason)
                    del timed[name]
                    continue
                one.turns.append(float(np.median(times)))
                one.times += times
                bar.update()
            load.look()
            done += 1
            n_rounds = MORE_ROUNDS if load.note else ROUNDS
            may_be_steady = done >= FEWEST_ROUNDS and not load.note
            waiting = [name for name, one in timed.items() if not (may_be_steady and one.is_steady)]
            bar.total = bar.n + (n_rounds - done) * len(waiting)
            taken = time.monotonic() - started
            if done >= FEWEST_ROUNDS and taken > LIMIT[0] + LIMIT[1] * len(timed):
                break
            if taken > SLOW_S * len(timed):
                break
    return Speed(
        latency_session=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        latency_threads=n_threads,
        latency_note=load.note,
    )


class _Shelf:
    """Networks that wait for their turn: in memory as far as there is room, else loaded each time."""

    def __init__(self) -> None:
        import psutil

        self._room = int(psutil.virtual_memory().available * MEMORY_SHARE)
        self._kept: dict[str, tuple[AnomalibModule, torch.Tensor]] = {}

    def lend(self, name: str, run: FinishedRun) -> _Lent:
        """The network and its image, on the device of its run while the block lasts."""
        from benchmark.one_run.memory import model_bytes

        found = self._kept.get(name) or load_network(run)
        if name not in self._kept:
            n_bytes = 2 * model_bytes(found[0].model)  # a memory bank is copied for its search
            if n_bytes <= self._room:
                self._room -= n_bytes
                self._kept[name] = found
        return _Lent(*found, device="cpu" if run.record.speed.latency_device == "cpu" else "cuda")


@dataclass
class _Lent:
    model: AnomalibModule
    image: torch.Tensor
    device: str

    def __enter__(self) -> tuple[AnomalibModule, torch.Tensor]:
        self.model.to(self.device)
        return self.model, self.image

    def __exit__(self, *_: object) -> None:
        if self.device != "cpu":
            self.model.to("cpu")


def _write(store: Store, timed: dict[str, _Timed], session: Speed) -> None:
    """Put the times into the records of all runs that have one of these networks; they may have changed meanwhile."""
    with store.lock(KEEP):
        for name, runs in by_network(runs_of(store), lambda run: run.network in timed).items():
            found = timed[name].summary().on_disk() | session.on_disk()
            for run in runs:
                speed = run.record.speed.model_copy(update=found)
                write_record(run.folder, run.record.model_copy(update={"speed": speed}))


def _is_here(run: FinishedRun) -> bool:
    """Whether this machine has what its run computed on; a Ray worker may have had a GPU that is not here."""
    import torch

    named = run.record.speed.latency_device
    return named == "cpu" or (torch.cuda.is_available() and torch.cuda.get_device_name() == named)
