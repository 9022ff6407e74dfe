"""Images with drawn defects, so that scores about the threshold and above are compared, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from extensions.data.channels import Channels
    from extensions.data.imaging import Imaging

DEFECT_EVERY = 2  # images, of which one gets a defect


def with_defects(files: Sequence[Path], folder: Path, *, imaging: Imaging | None = None) -> list[tuple[Path, str]]:
    """The files, every second one with a synthetic defect drawn on it as a new file in `folder`, and its kind.

    An image on which nothing noticeable can be drawn stays as it is.

    Args:
        files: Of images; of several files of an image the first.
        folder: For new files.
        imaging: How the files are read; None for 8 bits of RGB.
    """
    from PIL import Image

    from extensions.data.imaging import Imaging
    from extensions.data.reading.pixels import read_shown
    from extensions.data.synthetic.defects import draw_defect

    imaging = imaging or Imaging()
    images: list[tuple[Path, str]] = []
    for place, file in enumerate(files):
        images.append((file, ""))
        if place % DEFECT_EVERY:
            continue
        rng = np.random.default_rng((0, place))
        try:
            shown, other = read_shown(file, imaging), read_shown(files[place - 1], imaging)
            drawn = draw_defect(shown, other, rng)
        except (RuntimeError, ValueError):
            continue
        target = folder / f"{place:05}.png"
        if imaging.is_read_plainly:
            Image.fromarray(drawn.image).save(target)
        else:
            change = (drawn.image.astype(np.float32) - shown).mean(axis=2, keepdims=True) / 255  # (H, W, 1)
            target = _write_changed(file, change, target, imaging)
        images[-1] = (target, drawn.kind)
    return images


def _write_changed(file: Path, change: np.ndarray, target: Path, imaging: Imaging) -> Path:
    """Write the values of an image with a change to all of its channels, a part of their range, as NPY; its first file.

    Files are known by what they hold, so those of an image keep the ends of their names.
    """
    from extensions.data.reading.pixels import read_parts

    parts, start = read_parts(file, imaging.channels), 0
    targets = [target] if imaging.channels is None else imaging.channels.files_of(_first(target, imaging.channels))
    for part, path in zip(parts, targets, strict=True):
        most = {"uint8": 255.0, "uint16": 65535.0}.get(str(part.dtype), np.inf)
        whole = (0.0,), (most if np.isfinite(most) else 1.0,)
        lows, highs = whole if imaging.range is None else (imaging.range.lows, imaging.range.highs)
        spans = np.broadcast_to(np.subtract(highs, lows), imaging.n_channels)
        span = spans[start : start + part.shape[2]].astype(np.float32)
        start += part.shape[2]
        values = part + change * span
        if np.isfinite(most):
            values = np.rint(np.clip(values, 0, most))
        with path.open("wb") as out:
            np.save(out, values.astype(part.dtype), allow_pickle=False)
    return targets[0]


def _first(target: Path, channels: Channels) -> Path:
    return target.with_name(target.stem + channels.suffixes[0]) if channels.suffixes else target
