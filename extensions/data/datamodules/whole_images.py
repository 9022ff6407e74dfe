"""Images decoded once, of which some part is asked for again and again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from extensions.cache.images import MASK_READER, READER
from extensions.cache.location import open_cache
from extensions.cache.store import WorkCache, key_of
from extensions.data.checks.inspection import inspect_files
from extensions.data.datamodules.dataset import files_of
from extensions.data.imaging import Imaging
from extensions.data.reading.image_files import read_image, read_mask
from extensions.data.reading.pixels import read_pixels
from extensions.data.tiling.resizing import resized_pixels

IN_MEMORY = 2  # images, where nothing can be kept on disk
OPEN = 1000  # files


class WholeImages:
    """Images (H, W, C) as `read_pixels` gives them and masks (H, W) uint8: decoded once, then mapped.

    So a tile costs reading its own pixels, from memory where the system has room for them. Without a cache the last
    two images are in memory, and others are decoded anew.

    Args:
        imaging: How they are read, and what they are resized to.
        cache: None for the one in `$WORKBENCH_CACHE`.
    """

    def __init__(self, imaging: Imaging, *, cache: WorkCache | None = None) -> None:
        self.imaging = imaging
        self._resize = None if imaging.tiling is None else imaging.tiling.resize
        self._cache = open_cache() if cache is None else cache
        self._open: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        """Another process opens the files itself."""
        return {**self.__dict__, "_open": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take over what `__getstate__` gave."""
        self.__dict__.update(state, _lock=threading.Lock())

    def image(self, path: str) -> np.ndarray:
        """An image (H, W, C), read-only."""
        return self._found("images", path, READER, self._read_image)

    def mask(self, path: str) -> np.ndarray:
        """A mask (H, W) of zeros and ones, read-only."""
        return self._found("masks", path, MASK_READER, self._read_mask)

    def _found(self, kind: str, path: str, reader: int, read: Callable[[str], np.ndarray]) -> np.ndarray:
        with self._lock:
            if (kind, path) in self._open:
                self._open.move_to_end((kind, path))
                return self._open[kind, path]
            is_mask = kind == "masks"
            how = "" if is_mask or self.imaging.is_read_plainly else f"{self.imaging.range} {self.imaging.channels}"
            files = [path] if is_mask else files_of(path, self.imaging)
            facts = inspect_files(files, masks=is_mask)
            sha256 = " ".join(facts[file].sha256 for file in files)
            named = {"how": how} if how else {}
            key = key_of(whole=sha256, resize=self._resize, reader=reader, mask=is_mask, **named)
            found = self._cache.get(kind, key)
            if found is None:
                decoded = read(path)
                self._cache.put(kind, key, decoded)
                found = self._cache.get(kind, key)
                found = decoded if found is None else found
            self._open[kind, path] = found
            while len(self._open) > (OPEN if self._cache.enabled else IN_MEMORY):
                self._open.popitem(last=False)
            return found

    def _read_image(self, path: str) -> np.ndarray:
        image = read_image(path) if self.imaging.is_read_plainly else read_pixels(path, self.imaging)
        return image if self._resize is None else resized_pixels(image, self._resize)

    def _read_mask(self, path: str) -> np.ndarray:
        import torch
        from torchvision.transforms.v2.functional import resize_mask

        mask = read_mask(path)
        if self._resize is None:
            return mask
        return resize_mask(torch.from_numpy(mask)[None], list(self._resize))[0].numpy()
