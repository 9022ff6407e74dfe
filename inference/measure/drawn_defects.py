"""Images with drawn defects, so that scores about the threshold and above are compared, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

DEFECT_EVERY = 2  # images, of which one gets a defect


def with_defects(files: Sequence[Path], folder: Path) -> list[tuple[Path, str]]:
    """The files, every second one with a synthetic defect drawn on it as a new file in `folder`, and its kind.

    An image on which nothing noticeable can be drawn stays as it is.
    """
    from PIL import Image

    from extensions.data.reading.image_files import read_image
    from extensions.data.synthetic.defects import draw_defect

    images: list[tuple[Path, str]] = []
    for place, file in enumerate(files):
        images.append((file, ""))
        if place % DEFECT_EVERY:
            continue
        rng = np.random.default_rng((0, place))
        try:
            drawn = draw_defect(read_image(file), read_image(files[place - 1]), rng)
        except (RuntimeError, ValueError):
            continue
        target = folder / f"{place:05}.png"
        Image.fromarray(drawn.image).save(target)
        images[-1] = (target, drawn.kind)
    return images
