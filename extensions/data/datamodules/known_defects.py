"""Real defects that are trained on as what they are, with their masks, and never tested."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from extensions.configuration.checked_values import is_whole
from extensions.configuration.python_numbers import python_numbers
from extensions.data.channels import first_end
from extensions.data.checks.folder_names import is_good_folder, is_mask_folder
from extensions.data.checks.inspection import inspect_files
from extensions.data.checks.left_out import left_out
from extensions.data.checks.mask_pairing import Candidate, pair_masks
from extensions.data.datamodules.kind_folders import images_of, subfolders
from extensions.data.datamodules.listing import Listing
from extensions.data.datamodules.parts import without_parts
from extensions.data.datamodules.set_aside import injection_order, kind_of_each, n_available
from extensions.data.errors import DatasetError, DatasetMissingError, Kind, Problem
from extensions.data.reading.files import list_images, relative_name

TRUTH = "ground_truth"


def list_known(folder: Path, *, root: Path, name: str, channels: int | Sequence[str] | None = None) -> Listing:
    """List defects laid out as <kind>/<name>.png and ground_truth/<kind>/<name>_mask.png.

    Args:
        folder: ``known_defects_dir`` of the data set.
        root: that names are relative to.
        name: the data set's.
        channels: of the data set.

    Raises:
        DatasetMissingError: it is not there.
    """
    if not folder.is_dir():
        msg = f"data set {name!r} lacks the folder {folder}; correct known_defects_dir in the config, or leave it out"
        raise DatasetMissingError(msg)
    listing = Listing()
    kinds = [path for path in subfolders(folder) if path.name != TRUTH]
    if not kinds:
        expected = f"known_defects_dir: expected folders of defects, and {TRUTH} with their masks"
        listing.problems.append(Problem(Kind.EMPTY_FOLDER, relative_name(folder, root), expected))
    listing.problems += _misplaced(folder, kinds, root)
    for path in kinds:
        masks = folder / TRUTH / path.name
        found = list_images(masks) if masks.is_dir() else []
        images = images_of(path, listing, root, channels=channels)
        pairing = pair_masks(
            [Candidate(i, path) for i in images],
            [Candidate(m, masks) for m in found],
            root=root,
            image_end=first_end(channels),
        )
        listing.problems += [*pairing.problems, *(left_out(masks, root) if found else [])]
        for image in images:
            listing.rows.append((str(image), str(pairing.masks.get(image, "")), 1, path.name, "train"))
    return listing


def _misplaced(folder: Path, kinds: list[Path], root: Path) -> Iterator[Problem]:
    """What would be overlooked or taken for something else."""
    truth = folder / TRUTH
    known = {path.name for path in kinds}
    strays = [path for path in list_images(folder) if path.parent in {folder, truth}]
    for path in strays:
        yield Problem(Kind.NO_KIND, relative_name(path, root))
    for path in subfolders(truth) if truth.is_dir() else []:
        if path.name not in known:
            yield from (Problem(Kind.EXTRA_MASK, relative_name(mask, root)) for mask in list_images(path))
    for path in kinds:
        if is_good_folder(path.name):
            yield Problem(Kind.GOOD_FOLDER, relative_name(path, root))
        if is_mask_folder(path.name):
            detail = f"{TRUTH} is expected for masks"
            yield Problem(Kind.NEAR_NAME, relative_name(path, root), detail)


def take_known(
    samples: pd.DataFrame, defects: pd.DataFrame, *, n: int, n_set_aside: int, seed: int, name: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take defects out of the test set, in proportion to their kinds, and hand the first of them on for training.

    The choice is drawn from the seed and the content of the defects. What carries two kinds, or has no mask that marks
    anything, stays where it is, and so does one defect of each kind.

    Args:
        samples: of all splits.
        defects: those of them that are tested, with a column ``content``, in a fixed order.
        n: how many are trained on.
        n_set_aside: how many are taken out of the test set, ``n`` or more.
        seed: of the choice.
        name: the data set's.

    Returns:
        The samples that are left, and those to train on.

    Raises:
        DatasetError: there are not so many; it says how many there are.
    """
    masks = inspect_files([path for path in defects["mask_path"] if path], masks=True)
    marked = defects[[bool(path) and not masks[path].is_black for path in defects["mask_path"]]]
    kind_of = kind_of_each(marked)
    if n_set_aside > n_available(kind_of):
        msg = (
            f"known_defects is {n} and {n_set_aside} are set aside, but of the {len(kind_of)} defects with a mask "
            f"that data set {name!r} tests only {n_available(kind_of)} can be had (one of each of "
            f"{len(set(kind_of.values()))} kinds stays in the test set): ask for fewer, or give masks"
        )
        raise DatasetError(msg)
    order = injection_order(kind_of, n_set_aside, seed=seed)
    left = without_parts(samples, defects.index[defects["content"].isin(order)])
    taken = marked.drop_duplicates("content").set_index("content").loc[order[:n]].reset_index(drop=True)
    return left, taken.assign(split="train")


def with_known(train: pd.DataFrame, *known: pd.DataFrame) -> pd.DataFrame:
    """Training samples and known defects in one, told apart by the column ``known``."""
    own = train.assign(known=False)
    more = [part.reindex(columns=train.columns, fill_value=False).assign(known=True) for part in known if len(part)]
    return pd.concat([own, *more], ignore_index=True) if more else own


def checked_counts(known_defects: int, set_aside: int | None) -> tuple[int, int]:
    """How many are trained on and how many are taken out of the test set, or a ValueError when that cannot be."""
    known, aside = python_numbers(known_defects), python_numbers(set_aside)
    if not is_whole(known, 0):
        msg = f"known_defects is {known!r}; expected 0 or more defects of the test set to train on"
        raise ValueError(msg)
    if aside is not None and not is_whole(aside, known):
        msg = f"set_aside is {aside!r}; expected known_defects, which is {known}, or more, or null for as many"
        raise ValueError(msg)
    return known, known if aside is None else aside
