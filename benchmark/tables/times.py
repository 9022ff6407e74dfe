"""Which times of a table compare, said in sentences: sessions of latency, busy machines, fits that reused work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from benchmark.metrics.columns import column, compares
from benchmark.records.record import Record


def time_warnings(leaderboard: pd.DataFrame) -> Iterable[str]:
    """What a reader should know before comparing times."""
    blocks = [block for _, block in leaderboard.groupby("dataset")]
    again = "the command of the sweep with `--overwrite latency` times all checkpoints that were kept together."
    if not _all_compare("latency_ms", [block.assign(latency_note=None) for block in blocks]):
        yield (
            "Latencies were not all measured in one session, so they are not colored: of one network they differ by "
            f"what else the machine did; {again}"
        )
    notes = sorted({note for text in leaderboard["latency_note"].dropna() for note in str(text).split(";")})
    if notes:
        yield f"Latency was {'; '.join(notes)}, so it is not colored; on a quiet machine {again}"
    if not _all_compare("fit_seconds", blocks):
        yield (
            "Fit times are not colored: some lack what earlier runs had worked out (column Fit without), are blank, or "
            "come from another machine or number of threads. Where the cache does not say how long its work took, "
            "`python -m benchmark cache clear` and --overwrite all measure anew."
        )


def latency_sessions(records: Sequence[Record]) -> Iterable[tuple[str, str]]:
    """Name and one sentence for each session."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.speed.latency_session is not None:
            found.setdefault(record.speed.latency_session, []).append(record)
    for session, runs in sorted(found.items()):
        networks = {run.speed.network: run.speed for run in runs}
        turns = " to ".join(map(str, _ends([speed.latency_turns or 0 for speed in networks.values()])))
        threads = max(speed.latency_threads or 0 for speed in networks.values())
        devices = ", ".join(sorted({str(speed.latency_device) for speed in networks.values()}))
        yield (
            f"Session {session}",
            f"{len(networks)} networks of {len(runs)} runs in {turns} turns each, on {devices}, {threads} threads",
        )
    alone = sum(record.speed.latency_session is None for record in records if record.speed.latency_ms)
    if alone:
        yield "Alone", f"{alone} runs were timed within themselves, beside whatever the machine did"


def _ends(values: Sequence[int]) -> list[int]:
    """The least and the largest, once where they are equal."""
    return sorted({min(values), max(values)})


def _all_compare(name: str, blocks: Sequence[pd.DataFrame]) -> bool:
    """Whether the values of each block compare, where it has more than one row."""
    many = [block for block in blocks if len(block) > 1 and block[name].notna().any()]
    if name == "fit_seconds" and any(block[name].isna().any() and block["reused"].notna().any() for block in many):
        return False
    return all(block[name].notna().sum() < 2 or compares(column(name), block) for block in many)
