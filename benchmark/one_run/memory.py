"""How much memory a run needs: the highest resident size of the process, and of the model alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from torch import nn

INTERVAL = 0.02  # s


class PeakMemory:
    """Samples the resident memory of this process while the block runs; data loading workers are not counted.

    Of a run on a GPU the peak of torch's allocator is taken instead. `peak_bytes` includes what the process held before
    (interpreter, libraries, data of other runs): a run's cost on the line is `model_bytes` and the network's own work.

    Args:
        device: Where the run computes, as torch names devices; None for a GPU if there is one.

    Example:
        >>> with PeakMemory("cpu") as memory:
        ...     work()
        >>> memory.peak_bytes
    """

    peak_bytes = 0
    is_watching = False

    def __init__(self, device: str | None = None) -> None:
        self.device = device

    def __enter__(self) -> PeakMemory:
        """Start sampling."""
        import torch

        self._cuda = torch.cuda.is_available() if self.device is None else self.device.startswith("cuda")
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        self._process = psutil.Process()
        self.peak_bytes = self._resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        self.is_watching = True
        return self

    def __exit__(self, *_: object) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()
        self.is_watching = False
        if self._cuda:
            import torch

            self.peak_bytes = torch.cuda.max_memory_allocated()

    def _resident(self) -> int:
        return int(self._process.memory_info().rss)

    def _sample(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.peak_bytes = max(self.peak_bytes, self._resident())


def model_bytes(module: nn.Module) -> int:
    """Bytes of all parameters and buffers, what a checkpoint of the network has to hold."""
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
