"""Work for several threads that compute on one core each."""

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
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
            yield pool
    finally:
        torch.set_num_threads(n_threads)


def compute_on_one_thread() -> None:
    """Have torch compute on one thread in the calling thread, and leave all others as they are."""
    torch.get_num_threads()  # a new thread takes over torch's own number when it first asks
    _blas().limit(limits=1, user_api="openmp")
