"""The patches that training collects: in memory as long as they fit the limit, else in a file."""

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import torch

from extensions.runtime.cache_folder import cache_folder

MEMORY_SHARE = 0.25  # of the physical memory of the device that holds the patches

logger = logging.getLogger(__name__)


class PatchStore:
    """Rows of one matrix that grows, without a second copy of it at the end.

    When the number of batches is known (`expect`), the first batch tells how large the matrix will be: within the
    limit its memory is reserved once, above it all rows go to a file from the start. When it is not known, batches
    are kept apart and joined at the end, which takes twice their memory, so they go to a file from half the limit on.
    The file has no name in its folder: it vanishes with the store, after an error and after a killed process, too.

    Args:
        max_memory_bytes: Limit for the rows in memory; None for a quarter of the physical memory of their device.
    """

    _file: IO[bytes] | None = None

    def __init__(self, max_memory_bytes: int | None = None) -> None:
        self.max_memory_bytes = max_memory_bytes
        self._n_batches: int | None = None
        self.clear()

    def __len__(self) -> int:
        return self._n_rows + sum(n_rows for n_rows, _ in self._later)

    def clear(self) -> None:
        """Forget all rows and delete the file."""
        self._n_rows = 0
        self._later: list[tuple[int, Callable[[], torch.Tensor]]] = []
        self._reserved: torch.Tensor | None = None
        self._parts: list[torch.Tensor] = []
        if self._file is not None:
            self._file.close()
        self._file = None
        self._like: torch.Tensor | None = None  # (0, n_channels) on the device of the rows

    def expect(self, n_batches: int | None) -> None:
        """Say how many batches as large as the first one will come at most; None when nobody knows."""
        self._n_batches = n_batches

    def place(self, n_rows: int, like: torch.Tensor) -> torch.Tensor | None:
        """Where the next rows may be written before they are appended, so that nothing is copied.

        Args:
            n_rows: How many are to come at once.
            like: A tensor of their device, type and number of channels, (any, n_channels).

        Returns:
            (n_rows, n_channels), not initialized; None where memory for them is not reserved.
        """
        self._begin(n_rows, like)
        if self._reserved is None or self._n_rows + n_rows > len(self._reserved):
            return None
        return self._reserved[self._n_rows : self._n_rows + n_rows]

    def append(self, embedding: torch.Tensor) -> None:
        """Add rows.

        Args:
            embedding: (n_patches, n_channels), of the same channels, type and device each time. Copied or kept.

        Raises:
            OSError: They must go to a file and the disk has too little space; it says how much is needed where.
        """
        self._append_waiting()
        embedding = embedding.detach()
        self._begin(len(embedding), embedding)
        start, self._n_rows = self._n_rows, self._n_rows + len(embedding)
        if self._file is not None:
            self._write(embedding)
        elif self._reserved is not None and self._n_rows <= len(self._reserved):
            rows = self._reserved[start : self._n_rows]
            if rows.data_ptr() != embedding.data_ptr():  # not written to its `place`
                rows.copy_(embedding)
        else:
            self._keep(embedding, start)

    def append_later(self, n_rows: int, make: Callable[[], torch.Tensor]) -> None:
        """Add rows that are made when they are asked for, or never.

        Args:
            n_rows: How many it will be.
            make: Gives what `append` takes.
        """
        self._later.append((n_rows, make))

    def matrix(self) -> torch.Tensor | np.memmap:
        """All rows, (n_patches, n_channels): a tensor on their device, or the file mapped into memory.

        Valid until the store is cleared. Rows added later are not in it.
        """
        self._append_waiting()
        if self._like is None:
            return torch.empty(0, 0)
        if self._file is not None:
            self._file.flush()
            dtype = torch.empty(0, dtype=self._like.dtype).numpy().dtype
            return np.memmap(self._file, dtype, mode="r+", shape=(self._n_rows, self._like.shape[1]))
        if self._parts:
            self._parts = [torch.cat(self._parts)]
            return self._parts[0]
        assert self._reserved is not None
        return self._reserved[: self._n_rows]

    @property
    def device(self) -> torch.device:
        """Where the rows came from."""
        return torch.device("cpu") if self._like is None else self._like.device

    @property
    def scratch(self) -> Path:
        """Folder of the file."""
        return cache_folder() / "scratch"

    @property
    def in_file(self) -> bool:
        """Whether the rows are in a file."""
        return self._file is not None

    def _append_waiting(self) -> None:
        waiting, self._later = self._later, []
        while waiting:
            self.append(waiting.pop(0)[1]())

    def _begin(self, n_first: int, like: torch.Tensor) -> None:
        """With the first batch, decide where all rows go."""
        if self._like is not None:
            return
        self._like = like.detach()[:0].clone()
        if self._n_batches is None:
            return
        n_rows = n_first * self._n_batches
        if n_rows * self._row_bytes > self._limit:
            self._open(n_rows * self._row_bytes)
        else:
            # Pages count from when they are written to, so a number of batches that is too high costs nothing.
            self._reserved = self._like.new_empty((n_rows, self._like.shape[1]))

    def _keep(self, embedding: torch.Tensor, start: int) -> None:
        """Keep a batch apart; more came than was expected, or nobody said what to expect."""
        if self._reserved is not None:
            self._parts, self._reserved = [self._reserved[:start]], None
        self._parts.append(embedding)
        if 2 * self._n_rows * self._row_bytes > self._limit:
            self._open(2 * self._n_rows * self._row_bytes)  # at least as many may follow
            parts, self._parts = self._parts, []
            while parts:
                self._write(parts.pop(0))

    def _open(self, n_bytes: int) -> None:
        folder = self.scratch
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
            if n_bytes <= free:
                self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by clear)
        except OSError as error:
            raise self._no_space(folder, n_bytes, str(error.strerror or error)) from error
        if self._file is None:
            raise self._no_space(folder, n_bytes, f"{_gigabytes(free)} are free")
        logger.info("Training patches go to a file of up to %s in %s.", _gigabytes(n_bytes), folder)

    def _write(self, embedding: torch.Tensor) -> None:
        assert self._file is not None
        try:
            self._file.write(memoryview(embedding.contiguous().cpu().numpy()).cast("B"))
        except OSError as error:
            folder, n_bytes = self.scratch, self._n_rows * self._row_bytes
            self.clear()
            raise self._no_space(folder, n_bytes, str(error.strerror or error)) from error

    def _no_space(self, folder: Path, n_bytes: int, found: str) -> OSError:
        return OSError(
            f"{folder}: the training patches need {_gigabytes(n_bytes)} of disk there, but {found}; make space, set "
            f"$WORKBENCH_CACHE to a folder that has it, or raise max_memory_bytes."
        )

    @property
    def _row_bytes(self) -> int:
        return self._like.shape[1] * self._like.element_size() if self._like is not None else 0

    @property
    def _limit(self) -> float:
        return self.limit_on(self.device)

    def limit_on(self, device: torch.device) -> float:
        """Bytes of rows that stay in memory where they are on this device."""
        return MEMORY_SHARE * _memory_of(device) if self.max_memory_bytes is None else self.max_memory_bytes


def _memory_of(device: torch.device) -> int:
    """Bytes of physical memory of a device; of a container what it may use."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no such limit
        return total


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.3g} GB"
