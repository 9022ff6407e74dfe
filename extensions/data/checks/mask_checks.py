"""What is wrong with the masks of a data set, each on its own and all together."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from extensions.data.checks.inspection import FileFacts
from extensions.data.errors import Kind, Problem
from extensions.data.reading.files import relative_name
from extensions.data.reading.marking import Look

_KINDS = {
    Look.BLACK: Kind.BLACK_MASK,
    Look.WHOLE: Kind.WHOLE_MASK,
    Look.NO_BACKGROUND: Kind.MASK_BACKGROUND,
    Look.FRAMED: Kind.LARGE_MASK,
    Look.IGNORE: Kind.IGNORE_MASK,
    Look.GREY: Kind.GREY_MASK,
    Look.FAINT: Kind.FAINT_MASK,
}


def mask_problems(
    samples: pd.DataFrame, images: Mapping[str, FileFacts], masks: Mapping[str, FileFacts], *, root: Path
) -> list[Problem]:
    """Compare masks with their images, and judge what they mark.

    A single mask may mark most of its image. When at least half of the masks, and more than one, mark most of it and
    nine tenths of its border, they are inverted for sure.

    Args:
        samples: columns image_path, mask_path, label_index.
        images: facts of the images.
        masks: facts of the masks.
        root: that names are relative to.
    """
    rows = samples[samples["mask_path"] != ""]
    drawn = [masks[path] for path in rows["mask_path"][rows["label_index"] == 1]]
    are_inverted = _is_most([fact.look == Look.FRAMED for fact in drawn])
    are_large = _is_most([fact.share > 0.5 for fact in drawn])
    problems = []
    for image_path, mask_path, label in rows[["image_path", "mask_path", "label_index"]].itertuples(index=False):
        image, mask = images[image_path], masks[mask_path]
        if mask.error:
            continue
        found = [*_misfit(image, mask)]
        if label != 1 and not mask.is_black:
            found.append((Kind.MASK_ON_NORMAL, _marked(mask)))
        elif label == 1:
            found += _misdrawn(mask, are_inverted=are_inverted, are_large=are_large)
        problems += [Problem(kind, relative_name(mask_path, root), detail) for kind, detail in found]
    return problems


def _misfit(image: FileFacts, mask: FileFacts) -> Iterable[tuple[Kind, str]]:
    if image.size and image.size != mask.size and mask.size:
        sizes = [f"{width}x{height}" for width, height in (mask.size, image.size)]
        yield Kind.MASK_SIZE, f"{sizes[0]}, its image {sizes[1]}"
    if mask.is_lossy and mask.look not in {Look.GREY, Look.FAINT}:
        yield Kind.LOSSY_MASK, ""


def _misdrawn(mask: FileFacts, *, are_inverted: bool, are_large: bool) -> Iterable[tuple[Kind, str]]:
    """What a mask of an anomalous image marks that it should not."""
    if mask.look == Look.FRAMED and are_inverted:
        yield Kind.INVERTED_MASK, _marked(mask)
    elif mask.look in _KINDS:
        yield _KINDS[mask.look], "" if mask.look in {Look.BLACK, Look.WHOLE} else _marked(mask)
    elif mask.share > 0.5 and are_large:
        yield Kind.LARGE_MASK, _marked(mask)


def _marked(mask: FileFacts) -> str:
    return f"{mask.share:.0%} marked"


def _is_most(flags: list[bool]) -> bool:
    return sum(flags) > 1 and 2 * sum(flags) >= len(flags)
