"""Checks of a data set with `range` or `channels`: what the files of its images hold, and what would be clipped."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from extensions.cache.store import key_of
from extensions.data.channels import RGB, Channels
from extensions.data.checks.inspection import facts_cache
from extensions.data.errors import DatasetError, Kind, Problem
from extensions.data.imaging import Imaging
from extensions.data.reading.counts import read_counts
from extensions.data.reading.decoded import FileKey, file_key
from extensions.data.reading.files import list_files, relative_name
from extensions.data.reading.pixels import read_parts
from extensions.data.value_range import MOST, ValueRange
from extensions.runtime.progress import progress_bar

VERSION = 1  # of `FileValues`: raised when they would differ for the same file
KINDS = ("uint8", "uint16", "float32")
CLIPPED = 0.01  # share of an image's values outside of the range, from which on it is told
TAIL = 0.001  # share of an image's values at either end that does not count for its range: hot and dead pixels
MARGIN = 0.1  # of the span of the training images, added at either end: a defect may be brighter than all of them


@dataclass(frozen=True)
class FileValues:
    """What one file holds, each of the last three with a value for each channel.

    Attributes:
        shape: Height, width and number of channels; None when it cannot be read, which `error` explains.
        kind: `uint8`, `uint16` or `float32`.
        least: Of all values.
        largest: Of all values.
        low: With a thousandth of the values below it.
        high: With a thousandth of the values above it.
    """

    shape: tuple[int, int, int] | None = None
    kind: str = ""
    least: tuple[float, ...] = ()
    largest: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    error: str = ""


_known: dict[tuple[FileKey, bool], FileValues] = {}
_clipped: dict[tuple[tuple[FileKey, ...], ValueRange], float] = {}


def read_all(images: Iterable[str], channels: int | Sequence[str] | None, *, title: str) -> dict[str, list[FileValues]]:
    """What the files of each image hold, by its first file; a file is read once a process."""
    layout = layout_of(channels)
    files = {image: list(map(str, layout.files_of(image))) for image in images}
    pages = isinstance(channels, int)
    keys = {file: (file_key(file), pages) for several in files.values() for file in several}
    todo = [file for file, key in keys.items() if key not in _known]
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        done = pool.map(lambda file: _values(file, pages=pages), todo)
        for file, found in zip(todo, progress_bar(done, total=len(todo), title=title, unit="file"), strict=True):
            _known[keys[file]] = found
    return {image: [_known[keys[file]] for file in several] for image, several in files.items()}


def layout_of(channels: int | Sequence[str] | None) -> Channels:
    """Where the channels of an image lie; of several files their number is not known yet, and 0."""
    return Channels(0, tuple(channels)) if isinstance(channels, Sequence) else Channels(channels or RGB)


def found_channels(
    values: dict[str, list[FileValues]], channels: int | Sequence[str] | None, *, root: Path
) -> tuple[Channels | None, list[Problem]]:
    """The channels of a data set, and what is wrong with the files of its images."""
    problems: list[Problem] = []
    counts: dict[str, tuple[int, ...]] = {}
    for image, parts in values.items():
        files = layout_of(channels).files_of(image)
        problems += _unfit(files, parts, root=root)
        if all(part.shape for part in parts):
            counts[image] = tuple(part.shape[2] for part in parts if part.shape)
    if isinstance(channels, Sequence):
        most = max(counts.values(), key=list(counts.values()).count, default=())
        expected: Channels | None = Channels(sum(most), tuple(channels))
        odd = {image: found for image, found in counts.items() if found != most}
        told = " + ".join(map(str, most))
    else:
        expected = None if channels is None else Channels(channels)
        usual = {(channels,)} if channels else {(1,), (RGB,)}
        odd = {image: found for image, found in counts.items() if found not in usual}
        told = str(channels)
    for image, found in odd.items():
        name, n = relative_name(image, root), " + ".join(map(str, found))
        if channels is None:
            problems.append(Problem(Kind.MANY_CHANNELS, name, f"{n} channels"))
        else:
            problems.append(Problem(Kind.OTHER_CHANNELS, name, f"it has {n}, expected {told}"))
    return expected, problems


def orphans(folders: Iterable[Path], channels: int | Sequence[str] | None, *, root: Path) -> list[Problem]:
    """Files of the second and later channels without the first file of their image."""
    if not isinstance(channels, Sequence):
        return []
    problems = []
    for file in sorted({file for folder in folders for file in list_files(folder)}):
        for suffix in channels[1:]:
            first = file.with_name(file.name.removesuffix(suffix) + channels[0])
            if file.name.endswith(suffix) and not first.is_file():
                problems.append(Problem(Kind.NO_FIRST, relative_name(file, root), f"there is no {first.name}"))
    return problems


def checked_against(
    values: dict[str, list[FileValues]], value_range: ValueRange, n_channels: int, *, name: str, root: Path
) -> tuple[ValueRange, list[Problem]]:
    """The given range for the numbers that the files hold, and the images whose bits cannot hold it.

    Raises:
        DatasetError: It has another number of pairs than the images have channels.
    """
    n_pairs = len(value_range.lows)
    if n_pairs not in (1, n_channels):
        msg = (
            f"range of data set {name!r} has {n_pairs} pairs, but its images have {n_channels} channels; give one pair "
            "for all of them, or one for each"
        )
        raise DatasetError(msg)
    lows, highs = (np.broadcast_to(ends, n_channels) for ends in (value_range.lows, value_range.highs))
    problems = []
    for image, parts in values.items():
        start = 0
        for part in parts:
            n = part.shape[2] if part.shape else 0
            here = slice(start, start + n) if len(parts) > 1 or n == n_channels else slice(None)
            start += n
            most = MOST.get(part.kind, math.inf)
            if n and part.kind in MOST and (lows[here].min() < 0 or highs[here].max() > most):
                detail = f"{8 * np.dtype(part.kind).itemsize} bits, range {value_range}"
                problems.append(Problem(Kind.BEYOND_BITS, relative_name(image, root), detail))
                break
    return ValueRange(value_range.lows, value_range.highs, is_floating(values)), problems


def found_range(values: dict[str, list[FileValues]], channels: Channels | None) -> ValueRange:
    """The range of the good training images: what `range: auto` stands for.

    Of each image a thousandth of its values at either end is left out, as hot and dead pixels would widen the range to
    all that the sensor can give; then the least and the largest of all images count, and a tenth of their span is
    added at either end, so that what is a little brighter or darker than any good image is not clipped. RGB and grey
    have one range for all channels, which keeps colors; with ``channels`` each channel has its own.

    Args:
        values: Of the good training images.
        channels: Of the data set.
    """
    low = [[end for part in parts for end in part.low] for parts in values.values()]
    high = [[end for part in parts for end in part.high] for parts in values.values()]
    if channels is None:  # of grey and RGB
        low, high = [[min(ends)] for ends in low], [[max(ends)] for ends in high]
    lows, highs = np.min(low, axis=0), np.max(high, axis=0)
    floating = is_floating(values)
    span = np.maximum(highs - lows, 0 if floating else 1)
    span = np.where(span > 0, span, 1.0)
    lows, highs = lows - MARGIN * span, highs + MARGIN * span
    if not floating:
        most = [[MOST[part.kind] for part in parts for _ in part.low] for parts in values.values()]
        holds = np.max(most, axis=0) if channels is not None else max(map(max, most))
        lows, highs = np.maximum(np.floor(lows), 0), np.minimum(np.ceil(highs), holds)
    return ValueRange(tuple(lows.tolist()), tuple(highs.tolist()), floating)


def is_floating(values: dict[str, list[FileValues]]) -> bool:
    """Whether a file holds floating point numbers."""
    return any(part.kind == "float32" for parts in values.values() for part in parts)


def clipped(values: dict[str, list[FileValues]], imaging: Imaging, *, root: Path) -> list[Problem]:
    """Images of which more than 1 % of the values lie outside of the range."""
    value_range = imaging.range
    assert value_range is not None
    problems = []
    for image, parts in values.items():
        least, largest = (np.array([end for part in parts for end in getattr(part, of)]) for of in ("least", "largest"))
        if (least >= np.array(value_range.lows)).all() and (largest <= np.array(value_range.highs)).all():
            continue
        layout = imaging.channels or Channels(RGB)
        key = tuple(file_key(str(file)) for file in layout.files_of(image)), value_range
        if key not in _clipped:
            stacked = np.concatenate([part.astype(np.float32) for part in read_parts(image, imaging.channels)], axis=2)
            outside = (stacked < np.array(value_range.lows, np.float32)) | (
                stacked > np.array(value_range.highs, np.float32)
            )
            _clipped[key] = float(outside.mean())
        if _clipped[key] > CLIPPED:
            problems.append(Problem(Kind.CLIPPED, relative_name(image, root), f"{_clipped[key]:.1%}"))
    return problems


def _values(file: str, *, pages: bool) -> FileValues:
    """From an earlier process where the file's content was read in one."""
    try:
        sha256 = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return FileValues()
    key = key_of(values=sha256, pages=pages, version=VERSION)
    if (found := facts_cache().get("facts", key)) is not None:
        return _unpacked(found)
    try:
        values = _measured(read_counts(file, pages=pages))
    except (ValueError, FileNotFoundError) as error:
        return FileValues(error=str(error).partition(f"{file}: ")[2] or str(error))
    assert values.shape is not None
    rows = (values.least, values.largest, values.low, values.high)
    numbers = [*values.shape, KINDS.index(values.kind), *(end for row in rows for end in row)]
    facts_cache().put("facts", key, np.array(numbers, np.float64))
    return values


def _unpacked(numbers: np.ndarray) -> FileValues:
    height, width, n, kind = map(int, numbers[:4])
    least, largest, low, high = (tuple(map(float, row)) for row in numbers[4:].reshape(4, n))
    return FileValues((height, width, n), KINDS[kind], least, largest, low, high)


def _measured(pixels: np.ndarray) -> FileValues:
    """Of what a file holds, (H, W, C)."""
    kind = str(pixels.dtype)
    ends = np.array([_ends(pixels[..., channel]) for channel in range(pixels.shape[2])]).T
    least, largest, low, high = (tuple(map(float, row)) for row in ends)
    return FileValues((pixels.shape[0], pixels.shape[1], pixels.shape[2]), kind, least, largest, low, high)


def _ends(values: np.ndarray) -> tuple[float, float, float, float]:
    """Least, largest, and what a thousandth lies below and above, of (H, W)."""
    if values.dtype.kind == "f":
        low, high = np.quantile(values, (TAIL, 1 - TAIL))
        return float(values.min()), float(values.max()), float(low), float(high)
    below = np.cumsum(np.bincount(values.ravel()))  # how many values are at most 0, 1, 2 …
    places = np.searchsorted(below, (1, below[-1], math.floor(TAIL * below[-1]) + 1, math.ceil((1 - TAIL) * below[-1])))
    least, largest, low, high = map(float, places)
    return least, largest, low, high


def _unfit(files: Sequence[Path], parts: Sequence[FileValues], *, root: Path) -> list[Problem]:
    """What is wrong with the files of one image by themselves."""
    problems = []
    for file, part in zip(files, parts, strict=True):
        name = relative_name(files[0], root)
        if part.error:
            problems.append(Problem(Kind.UNREADABLE, relative_name(file, root), part.error))
        elif part.shape is None:
            problems.append(Problem(Kind.NO_PARTNER, name, f"there is no {file.name}"))
        elif parts[0].shape and part.shape[:2] != parts[0].shape[:2]:
            sizes = [f"{width}x{height}" for height, width in (part.shape[:2], parts[0].shape[:2])]
            problems.append(Problem(Kind.PARTNER_SIZE, relative_name(file, root), f"{sizes[0]}, {name} {sizes[1]}"))
    return problems
