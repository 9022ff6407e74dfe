"""Reads an image as a data set's `Imaging` says: its channels stacked, its values whole where a range is set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from extensions.data.channels import RGB, Channels
from extensions.data.imaging import Imaging
from extensions.data.reading.arrays import viewable
from extensions.data.reading.counts import counts_of, read_counts, to_8_bits
from extensions.data.reading.image_files import decoded, read_stored
from extensions.data.reading.stored import Stored
from extensions.data.value_range import MOST, ValueRange

if TYPE_CHECKING:
    import torch


def read_pixels(path: str | Path, imaging: Imaging) -> np.ndarray:
    """The image that a detector is given, see `read_pixels_stored`."""
    return read_pixels_stored(path, imaging)[0]


def read_pixels_stored(path: str | Path, imaging: Imaging) -> tuple[np.ndarray, Stored]:
    """The image that a detector is given, and what is to be told of its file.

    Args:
        path: The image's first file.
        imaging: Of the data set or the model.

    Returns:
        (H, W, C) uint8; with a range uint16 or float32 as the files hold them.

    Raises:
        ValueError: A file cannot be read, is of another size than the others, or holds other channels or numbers than
            expected; it is named.
        FileNotFoundError: A file is not there.
    """
    if imaging.is_read_plainly:
        image, stored = read_stored(path)
        if stored.channels:
            msg = f"{path}: {too_many(stored.channels)}"
            raise ValueError(msg)
        return image, stored
    parts = read_parts(path, imaging.channels)
    try:
        return prepared(parts, imaging), Stored()
    except ValueError as error:
        msg = f"{path}: {error}"
        raise ValueError(msg) from error


def read_parts(path: str | Path, channels: Channels | None) -> list[np.ndarray]:
    """What the files of an image hold, each (H, W, C) uint8, uint16 or float32.

    Raises:
        ValueError: A file cannot be read, or is of another size than the first; it is named.
        FileNotFoundError: A file is not there.
    """
    if channels is None or not channels.suffixes:
        return [read_counts(path, pages=channels is not None)]
    files = channels.files_of(path)
    for file in files[1:]:
        if not file.is_file():
            msg = f"{file}: there is no such file, which belongs to {files[0].name}; expected {channels} for each image"
            raise FileNotFoundError(msg)
    parts = [read_counts(file) for file in files]
    for file, part in zip(files, parts, strict=True):
        if part.shape[:2] != parts[0].shape[:2]:
            msg = f"{file} is {_size(part)}, but {files[0].name} is {_size(parts[0])}; expected files of one size"
            raise ValueError(msg)
    return parts


def pixels_of(content: bytes, imaging: Imaging) -> tuple[np.ndarray, Stored]:
    """As `read_pixels_stored`, of the bytes of one file that holds all channels.

    Raises:
        ValueError: It holds other channels or numbers than expected.
    """
    if imaging.is_read_plainly:
        pixels, stored = decoded(content)
        if stored.channels:
            raise ValueError(too_many(stored.channels))
        return pixels, stored
    return prepared([counts_of(content, pages=imaging.channels is not None)], imaging), Stored()


def prepared(parts: Sequence[np.ndarray], imaging: Imaging) -> np.ndarray:
    """What the files of an image hold, each (H, W, C) -> as a detector is given it, see `read_pixels_stored`.

    Raises:
        ValueError: Another number of channels than expected, or floating point where whole numbers are expected.
    """
    n_found, n_expected = sum(part.shape[2] for part in parts), imaging.n_channels
    if imaging.channels is None and n_found == 1:
        parts = [np.repeat(parts[0], RGB, axis=2)]
    elif n_found != n_expected:
        raise ValueError(too_many(n_found) if imaging.channels is None else other_number(n_found, n_expected))
    if imaging.range is None:
        return np.concatenate([to_8_bits(part) for part in parts], axis=2)
    if not imaging.range.is_floating and any(part.dtype == np.float32 for part in parts):
        msg = "it holds floating point values where training had whole ones: save it as those"
        raise ValueError(msg)
    _check_bits(parts, imaging.range)
    return np.concatenate([part.astype(imaging.range.dtype, copy=False) for part in parts], axis=2)


def _check_bits(parts: Sequence[np.ndarray], value_range: ValueRange) -> None:
    """Refuse files of 8 bits where the range is of more: their values are not the camera's counts.

    Raises:
        ValueError: It says what was found and expected.
    """
    highs = np.resize(value_range.highs, sum(part.shape[2] for part in parts))
    start = 0
    for part in parts:
        highest = float(max(highs[start : start + part.shape[2]]))
        start += part.shape[2]
        if part.dtype == np.uint8 and highest > MOST["uint8"]:
            msg = f"it has 8 bits, which cannot hold the range up to {highest:g}; expected the counts that training had"
            raise ValueError(msg)


def unit_image(pixels: np.ndarray, imaging: Imaging) -> torch.Tensor:
    """What `read_pixels` gave, (H, W, C), as (C, H, W) float32 in [0, 1]."""
    import torch
    from torchvision.transforms.v2.functional import to_dtype, to_image

    if imaging.range is None:
        return to_dtype(to_image(pixels), torch.float32, scale=True)
    return to_image(np.ascontiguousarray(imaging.range.scaled(pixels)))


def shown(pixels: np.ndarray, imaging: Imaging) -> np.ndarray:
    """What `read_pixels` gave, (H, W, C), as (H, W, 3) uint8 RGB to look at, by the range where one is set."""
    if imaging.range is not None:
        pixels = np.rint(imaging.range.scaled(pixels) * 255).astype(np.uint8)
    return pixels if pixels.shape[2] == RGB else viewable(pixels)


def read_shown(path: str | Path, imaging: Imaging) -> np.ndarray:
    """An image as (H, W, 3) uint8 RGB to look at."""
    return shown(read_pixels(path, imaging), imaging)


def too_many(n: int) -> str:
    """What is wrong with an image of so many channels where nothing is said of them."""
    return f"it has {n} channels; expected grey or RGB: set the argument channels of the data set to {n}"


def other_number(n_found: int, n_expected: int) -> str:
    """What is wrong with an image of another number of channels than expected."""
    return (
        f"it has {n_found} {'channel' if n_found == 1 else 'channels'}; expected {n_expected} as the data set's "
        "channels says: correct that, or the file"
    )


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]} px"
