"""Where images come from: a folder, a file, a video, a camera; read ahead by threads, in a fixed order."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from extensions.data.checks.left_out import left_out, tell
from extensions.data.checks.masks_beside import set_apart
from extensions.data.imaging import Imaging
from extensions.data.reading.arrays import ARRAY_EXTENSIONS
from extensions.data.reading.files import list_channel_images
from extensions.data.reading.image_files import IMAGE_EXTENSIONS
from extensions.data.reading.pixels import read_pixels_stored
from extensions.data.reading.stored import Stored

logger = logging.getLogger(__name__)

VIDEO_EXTENSIONS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
MAX_CAMERAS = 1000
READ_AHEAD = 4  # images for each reading thread


@dataclass(frozen=True)
class Item:
    """An image to look at.

    Attributes:
        name: Path below the input folder, or file name and number of the frame.
        image: (H, W, 3) uint8 RGB, or what a model with a range or channels takes; None when it could not be read.
        error: Why not.
        stored: What is to be told of the file.
    """

    name: str
    image: np.ndarray | None
    error: str = ""
    stored: Stored = field(default_factory=Stored)


@dataclass
class Source:
    """Where images come from.

    Attributes:
        kind: `images`, `video` or `live`.
        total: How many there are; None when nobody knows.
        items: The images, in order.
        frames_per_second: Of a video.
        missing: Frames that a video promised and did not have; known at its end.
        names: Of all items, where they are known before they are read.
    """

    kind: str
    total: int | None
    items: Iterator[Item]
    frames_per_second: float = 0.0
    missing: int = 0
    names: Sequence[str] = ()


def open_source(where: str, *, n_threads: int = 2, imaging: Imaging | None = None) -> Source:
    """Open what `--input` names.

    Args:
        where: A folder, an image, a video, `camera:0` or a stream's address (`rtsp://…`).
        n_threads: Threads that read images.
        imaging: How the model's images are read; None for 8 bits of RGB.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It is neither, holds no images, or cannot be opened.
    """
    if where.startswith("camera:") or "://" in where:
        return _captured(_camera_number(where), where, live=True)
    path = Path(where)
    if path.is_dir():
        files = list_source_images(path, imaging=imaging)
        return _files(files, path, n_threads, imaging or Imaging())
    if not path.exists():
        msg = f"{where}: there is no such file or folder; expected images, a video, camera:0 or rtsp://…"
        raise FileNotFoundError(msg)
    if path.suffix.lower() in VIDEO_EXTENSIONS:
        return _captured(where, path.name, live=False)
    if path.suffix.lower() in IMAGE_EXTENSIONS or _is_of_channels(path, imaging):
        return _files([path], path.parent, 1, imaging or Imaging())
    msg = f"{where}: this is no image ({', '.join(IMAGE_EXTENSIONS)}) and no video ({', '.join(VIDEO_EXTENSIONS)})"
    raise ValueError(msg)


def list_source_images(folder: Path, *, without_masks: bool = False, imaging: Imaging | None = None) -> list[Path]:
    """All image files in a folder and the folders in it, sorted by path; hidden ones are left out.

    Files that are images but for their endings, and masks beside the images or in folders of their own, are logged.

    Args:
        folder: To look into.
        without_masks: Leave the masks out.
        imaging: How the model's images are read; of several files of an image the first one is listed.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: There are none in it.
    """
    if not folder.is_dir():
        msg = f"{folder}: there is no such folder; expected one with images"
        raise FileNotFoundError(msg)
    channels = None if imaging is None or imaging.channels is None else imaging.channels
    files = list_channel_images(folder, None if channels is None else channels.argument)
    images, masks = set_apart(files, folder, folder)
    tell(folder, [*masks, *left_out(folder, folder)])
    if without_masks and len(images) < len(files):
        logger.warning("%s: %d masks among the images are left out", folder, len(files) - len(images))
        files = images
    if not files:
        ends = channels.suffixes[:1] if channels is not None and channels.suffixes else IMAGE_EXTENSIONS
        msg = f"{folder}: the folder has no images ({', '.join(ends)})"
        raise ValueError(msg)
    return files


def _is_of_channels(path: Path, imaging: Imaging | None) -> bool:
    """Whether a file of another ending is one that a model of many channels takes."""
    if imaging is None or imaging.channels is None:
        return False
    ends = imaging.channels.suffixes[:1] or ARRAY_EXTENSIONS
    return path.name.endswith(ends)


def _files(files: list[Path], root: Path, n_threads: int, imaging: Imaging) -> Source:
    names = [file.relative_to(root).as_posix() for file in files]
    return Source("images", len(files), _read_ahead(files, root, n_threads, imaging), names=names)


def _read_ahead(files: list[Path], root: Path, n_threads: int, imaging: Imaging) -> Iterator[Item]:
    """The images in order, a few of them read before they are asked for."""
    with ThreadPoolExecutor(n_threads) as pool:
        waiting: deque[Future[Item]] = deque()
        try:
            for file in files:
                waiting.append(pool.submit(_read, file, file.relative_to(root).as_posix(), imaging))
                if len(waiting) > READ_AHEAD * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def _read(file: Path, name: str, imaging: Imaging) -> Item:
    try:
        image, stored = read_pixels_stored(file, imaging)
        return Item(name, image, stored=stored)
    except (OSError, ValueError, MemoryError) as error:
        return Item(name, None, " ".join(str(error).split()))


def _camera_number(where: str) -> int | str:
    if not where.startswith("camera:"):
        return where
    number = where.partition(":")[2]
    if not (number.isascii() and number.isdigit() and int(number) < MAX_CAMERAS):
        msg = f"{where}: expected the number of a camera, such as camera:0"
        raise ValueError(msg)
    return int(number)


def _captured(where: int | str, name: str, *, live: bool) -> Source:
    """Frames of what OpenCV opens."""
    import cv2

    capture = cv2.VideoCapture(where)
    if not capture.isOpened():
        capture.release()
        expected = "a camera or stream that answers" if live else "a video that OpenCV can decode"
        msg = f"{name}: this cannot be opened; expected {expected}"
        raise ValueError(msg)
    n_frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    total = None if live or n_frames <= 0 else n_frames
    source = Source("live" if live else "video", total, iter(()), float(capture.get(cv2.CAP_PROP_FPS)))
    source.items = _frames(capture, name, source)
    return source


def _frames(capture: Any, name: str, source: Source) -> Iterator[Item]:
    import cv2

    number = 0
    try:
        while True:
            there, frame = capture.read()
            if not there:
                break
            yield Item(f"{name}#{number:06}", cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            number += 1
    finally:
        capture.release()
    source.missing = max(0, (source.total or 0) - number)
    if not number:
        yield Item(name, None, f"{name}: it has no frames that can be decoded")
