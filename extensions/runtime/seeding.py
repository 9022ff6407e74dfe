"""Random draws of libraries that know no generator but the global ones."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch inside the block; lightly and torchvision draw from them.

    What they would have drawn next outside is what they draw afterwards.

    Args:
        seed: From 0 on; of NumPy's and Python's the lowest 32 bits.
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - lightly's blur uses it
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def random_state() -> tuple[Any, ...]:
    """Where the global generators are; for `restore_random_state`."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda  # noqa: NPY002


def restore_random_state(state: tuple[Any, ...]) -> None:
    """Put the global generators back to where `random_state` found them."""
    random.setstate(state[0])
    np.random.set_state(state[1])  # noqa: NPY002
    torch.set_rng_state(state[2])
    if state[3]:
        torch.cuda.set_rng_state_all(state[3])
