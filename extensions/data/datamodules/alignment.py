"""The argument `align` of a data set, and the template that its good training images give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from extensions.cache.location import open_cache
from extensions.cache.store import key_of
from extensions.configuration.checked_values import check_keys, check_values, check_whole
from extensions.data.alignment.alignment import Alignment
from extensions.data.alignment.registration import Registered, prepared, working_size
from extensions.data.alignment.template import N_IMAGES, least_correlation, make_template
from extensions.data.checks.inspection import inspect_files
from extensions.data.datamodules.lies import VERSION, lie_of_file
from extensions.data.errors import DatasetError, warn_once
from extensions.data.imaging import Imaging
from extensions.data.reading.pixels import read_pixels
from extensions.data.straightening import levels_of
from extensions.runtime.progress import progress_bar

SOUND = 0.5  # median correlation of aligned images below which they have nothing in common to be aligned by
NAMED = 5  # files


@dataclass(frozen=True)
class AlignSettings:
    """How a data set's images are aligned.

    Attributes:
        n_images: Good training images that the template is made of, at most.
        least: Correlation with the template, 0 to 1, below which an image counts as not aligned; None for far below
            those of the images that the template is made of.
    """

    n_images: int = N_IMAGES
    least: float | None = None


def checked_align(given: Any, *, name: str, others: Mapping[str, Any]) -> AlignSettings | None:
    """The argument `align`: true, its settings, or false or None for none.

    Args:
        given: As the configuration has it.
        name: The data set's.
        others: Arguments that do not go with it, by name, as they were given.

    Raises:
        ValueError: It is something else, or one of the others is set.
    """
    if given is None or given is False:
        return None
    if set_too := [other for other, value in others.items() if value]:
        msg = (
            f"data set {name!r} has align and {' and '.join(set_too)}, which hold for places in images as they were "
            "taken: leave one of them out"
        )
        raise ValueError(msg)
    if given is True:
        return AlignSettings()
    if not isinstance(given, Mapping):
        msg = f"data set {name!r}: align is {given!r}; expected true, or its settings such as {{n_images: {N_IMAGES}}}"
        raise ValueError(msg)
    check_keys(given, ["n_images", "least"], place="align.")
    settings = AlignSettings(**given)
    check_whole(n_images=settings.n_images)
    check_values(n_images=(settings.n_images, settings.n_images >= 1, "a number of images, 1 or more"))
    if settings.least is not None:
        is_number = isinstance(settings.least, int | float) and not isinstance(settings.least, bool)
        check_values(least=(settings.least, is_number and 0 <= settings.least <= 1, "a correlation from 0 to 1"))
    return settings


def find_alignment(
    train: pd.DataFrame, settings: AlignSettings, imaging: Imaging, *, name: str, seed: int
) -> Alignment:
    """The template of a data set.

    Args:
        train: Its training samples.
        settings: As `checked_align` gave them.
        imaging: How its files are read.
        name: The data set's.
        seed: Draws the images; by content, so names do not matter.

    Raises:
        DatasetError: There are no good training images, they are of several aspect ratios, or they have nothing in
            common.
    """
    good = [str(path) for path in train["image_path"][train["label_index"] == 0]]
    if not good:
        msg = f"data set {name!r} has align, but no good training images to make a template of: add some"
        raise DatasetError(msg)
    facts = inspect_files(good, title=f"reading {name}")
    by_content = dict(sorted({facts[path].sha256: path for path in sorted(good, reverse=True)}.items()))
    contents = list(by_content)
    drawn = np.random.default_rng(seed).permutation(len(contents))[: settings.n_images]
    chosen = [by_content[contents[place]] for place in drawn]
    key = key_of(
        template=[facts[path].sha256 for path in chosen], how=f"{imaging.range} {imaging.channels}", version=VERSION
    )
    cache = open_cache()
    levels, quality = cache.get("facts", key), cache.get("facts", f"{key}-correlations")
    if levels is None or quality is None:
        found, correlations = make_template(_prepared(chosen, imaging, name=name))
        levels, quality = found, np.array(correlations)
        cache.put("facts", key, levels)
        cache.put("facts", f"{key}-correlations", quality)
    if (middle := float(np.median(quality))) < SOUND:
        msg = (
            f"data set {name!r}: its images have nothing in common that they could be aligned by (median correlation "
            f"with their mean {middle:.2f}, expected {SOUND} or more): leave align out"
        )
        raise DatasetError(msg)
    least = least_correlation(quality.tolist()) if settings.least is None else settings.least
    return Alignment(np.array(levels), least)


def _prepared(paths: list[str], imaging: Imaging, *, name: str) -> list[Registered]:
    found: list[Registered] = []
    first: tuple[int, int] | None = None
    for path in progress_bar(paths, title=f"aligning {name}", unit="image"):
        levels = levels_of(read_pixels(path, imaging), imaging)
        size = (levels.shape[0], levels.shape[1])
        first = first or size
        try:
            Alignment(np.zeros(working_size(first), np.uint8), 0.0).check_size(size)
        except ValueError as error:
            msg = f"data set {name!r}: {path}: {error}, or leave align out"
            raise DatasetError(msg) from error
        found.append(prepared(levels, working_size(first)))
    return found


def tell_unaligned(paths: list[str], imaging: Imaging, *, name: str, name_of: Callable[[str], str]) -> list[str]:
    """Align all images of a data set, and say which could not be; their names, as `name_of` gives them for paths."""
    assert imaging.alignment is not None
    unaligned = [
        name_of(path)
        for path in progress_bar(paths, title=f"aligning {name}", unit="image")
        if not imaging.alignment.is_met(lie_of_file(path, imaging))
    ]
    if unaligned:
        shown = ", ".join(unaligned[:NAMED]) + (" …" if len(unaligned) > NAMED else "")
        warn_once(
            f"data set {name!r}: {len(unaligned)} of {len(paths)} images could not be aligned (correlation with the "
            f"template below {imaging.alignment.least:.2f}): {shown}; they are seen as they were found to lie best"
        )
    return unaligned


def check_unaligned(parts: Mapping[str, Any], *, name: str) -> None:
    """Refuse to align products that train together: each has a template of its own, a model has one.

    Raises:
        DatasetError: It names the data set.
    """
    if any(part.imaging.alignment is not None for part in parts.values()):
        msg = (
            f"data set {name!r} has align, and products that train together, of which each would need a template of "
            "its own: leave align out, or set training to one_each"
        )
        raise DatasetError(msg)
