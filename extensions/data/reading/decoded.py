"""Images that were decoded to check them, kept for a moment for the one who reads them next."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

FileKey = tuple[str, int, int]  # path, bytes, ns of the last change


class DecodedImages:
    """Decoded images up to a number of bytes; what does not fit is not kept. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images: dict[FileKey, np.ndarray] = {}
        self._room = 0

    @property
    def wanted(self) -> bool:
        """Whether there is room for another image."""
        return self._room > 0

    @contextmanager
    def keeping(self, n_bytes: int) -> Iterator[None]:
        """Keep what is offered inside the block; all is forgotten at its end."""
        self._room = n_bytes
        try:
            yield
        finally:
            self.forget()

    def offer(self, path: str, image: np.ndarray) -> None:
        """Keep an image (H, W, 3) if there is room."""
        with self._lock:
            if image.nbytes <= self._room:
                self._images[file_key(path)] = image
                self._room -= image.nbytes

    def take(self, path: str | Path) -> np.ndarray | None:
        """The image of a file that has not changed since; it is not kept any longer. None when it is not here."""
        if not self._images:
            return None
        with self._lock:
            image = self._images.pop(file_key(str(path)), None)
            if image is not None:
                self._room += image.nbytes
        return image

    def forget(self) -> None:
        """Drop all images and keep none from now on."""
        with self._lock:
            self._images.clear()
            self._room = 0


def file_key(path: str) -> FileKey:
    """What tells versions of a file apart without reading it; a file that is gone has one of its own."""
    try:
        stat = Path(path).stat()
    except OSError:
        return path, -1, -1
    return path, stat.st_size, stat.st_mtime_ns


decoded_images = DecodedImages()
