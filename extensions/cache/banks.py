"""Memory banks that earlier runs selected, and selections that were stopped before they were done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from extensions.cache.costs import SelectionTimes
from extensions.cache.store import WorkCache, key_of


def find_bank(
    cache: WorkCache,
    n_kept: int,
    compute: Callable[[UnfinishedSelection], torch.Tensor],
    *,
    is_nested: bool,
    **decisive: Any,
) -> tuple[torch.Tensor, float | None, bool]:
    """Take a bank from the cache, or compute and keep it; one process computes, others wait for it.

    Args:
        cache: Where banks are kept.
        n_kept: Patches in the bank.
        compute: Selects it on the CPU, and may keep what it has so far in the checkpoint given.
        is_nested: Whether a smaller bank is the first part of a larger one.
        decisive: What decides the bank beside the state of the random generators, for `key_of`.

    Returns:
        (n_kept, n_channels), the seconds that its selection takes (None where they are not known), and whether it was
        there.
    """
    size = {} if is_nested else {"size": n_kept}
    key = key_of(random=_random_state(), **decisive, **size)
    with cache.lock("bank", key) if cache.enabled else nullcontext():
        found = cache.get("banks", key)
        if found is not None and len(found) >= n_kept:
            cache.has("banks", key)  # it was used
            seconds = SelectionTimes.seconds(cache.noted("banks", key), n_kept)
            return torch.from_numpy(np.array(found[:n_kept])), seconds, True
        unfinished = UnfinishedSelection(cache, key)
        bank = compute(unfinished)
        cache.put("banks", key, bank.numpy())
        note = unfinished.times.note(n_kept)
        cache.note("banks", key, note)
    return bank, SelectionTimes.seconds(np.array(note), n_kept), False


class UnfinishedSelection:
    """The checkpoint of a coreset's selection: an entry of the cache that lasts until the bank is there."""

    def __init__(self, cache: WorkCache, key: str) -> None:
        self._cache = cache
        self._key = key
        self.times = SelectionTimes()

    def load(self) -> np.ndarray | None:
        """The last state that was saved."""
        state = self._cache.get("selections", self._key)
        self.times.is_whole = state is None
        return state

    def reached(self, n_selected: int) -> None:
        """So many patches are selected."""
        self.times.reached(n_selected)

    def save(self, state: np.ndarray) -> None:
        """Put a state in the place of the last one."""
        self._cache.put("selections", self._key, state)

    def discard(self) -> None:
        """Remove the state."""
        self._cache.remove("selections", self._key)


def _random_state() -> str:
    """A hash over the state of the global generators that a selection may draw from."""
    digest = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    kind, keys, position, *rest = np.random.get_state()  # noqa: NPY002 - read, not drawn from
    digest.update(repr((kind, position, *rest)).encode())
    digest.update(np.asarray(keys).tobytes())
    return digest.hexdigest()
