"""Work for several threads that compute on one core each, and how many threads torch computes on.

`torch.set_num_threads(n)` with n > 1 is avoided: from then on torch's LU of a batch of matrices of 150 rows or more
fails on CPUs, or gives wrong numbers without a word (`torch.linalg.inv`, `solve`, `det`; torch 2.5 to 2.15,
https://github.com/pytorch/pytorch/issues/141358).
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

_blas = cache(ThreadpoolController)  # looks through all loaded libraries, once


@contextmanager
def one_thread_each() -> Iterator[ThreadPoolExecutor]:
    """As many workers as torch has threads, each computing on one: whole pieces at once, so nobody waits for a half."""
    with (
        _blas().limit(limits=1, user_api="blas"),
        ThreadPoolExecutor(torch.get_num_threads(), initializer=compute_on_one_thread) as pool,
    ):
        yield pool


def compute_on_one_thread() -> None:
    """Have torch compute on one thread in the calling thread, and leave all others as they are."""
    compute_on(1)


def compute_on(n_threads: int) -> None:
    """Have torch compute on so many threads in the calling thread."""
    if torch.get_num_threads() != n_threads:  # a new thread takes over torch's own number when it first asks
        _blas().limit(limits=n_threads, user_api="openmp")
