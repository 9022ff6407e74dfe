"""Data sets laid out as MVTec AD: train/good, test/<kind>, ground_truth/<kind>/<name>_mask.png."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extensions.data.checks.folder_names import is_good_folder, is_mask_folder, nearly_named
from extensions.data.checks.left_out import left_out
from extensions.data.checks.mask_pairing import Candidate, pair_masks
from extensions.data.datamodules.datamodule import WorkbenchDataModule
from extensions.data.datamodules.kind_folders import images_of, subfolders, tell_near_good
from extensions.data.datamodules.listing import Listing
from extensions.data.errors import DatasetMissingError, Kind, Problem
from extensions.data.reading.files import from_data_root, list_images, relative_name


class MVTecAD(WorkbenchDataModule):
    """MVTec AD, or any data set laid out like it.

    Bergmann, Batzner, Fauser, Sattlegger, Steger (2021): The MVTec Anomaly Detection Dataset,
    https://doi.org/10.1007/s11263-020-01400-4.

    The subfolders of ``test`` are the kinds of defect. Without a ``ground_truth`` folder there are no masks; with one
    every anomalous image needs its own. Masks in ``ground_truth/good`` must be black.

    Args:
        root: the folder that holds the categories; relative to ``data_root``.
        category: folder below ``root``; "" when ``root`` itself holds train and test.
        name: the data set's name in records and reports, for another data set of this layout.
        data_root: where a relative root starts (``--data-root``); None for ``$WORKBENCH_DATA``, else the working
            directory.
        kwargs: see `WorkbenchDataModule`.

    Example:
        >>> data = MVTecAD(root="~/data/mvtec", category="bottle")
    """

    def __init__(
        self,
        root: str | Path = "mvtec",
        category: str = "bottle",
        name: str | None = None,
        data_root: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name or "MVTecAD", root=from_data_root(root, data_root), category=category, **kwargs)

    @property
    def folder(self) -> Path:
        """The folder that holds train and test."""
        return self.root / self.category if self.category else self.root

    @property
    def _folder_of_relative(self) -> Path:
        return self.folder

    def _list(self) -> Listing:
        self._find_folders()
        return list_layout(self.folder, root=self.root)

    def _find_folders(self) -> None:
        if not self.root.is_dir():
            msg = f"data set {self.name!r} is not at {self.root}; set its root in the config, --data-root or "
            msg += "$WORKBENCH_DATA"
            raise DatasetMissingError(msg)
        if not self.folder.is_dir():
            there = sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))
            near = difflib.get_close_matches(self.category, there, n=3)
            hint = f"nearest: {', '.join(near)}" if near else f"there are: {', '.join(there) or 'no folders'}"
            msg = f"category {self.category!r} of data set {self.name!r} is not on disk: {self.folder} ({hint})"
            raise DatasetMissingError(msg)
        missing = [part for part in ("train/good", "test") if not (self.folder / part).is_dir()]
        if missing:
            folders = " and ".join(str(self.folder / part) for part in missing)
            expected = f"expected train/good and test/<kind>{self._renames(missing)}"
            msg = f"data set {self.name!r} lacks the folder {folders}; {expected}"
            raise DatasetMissingError(msg)

    def _renames(self, missing: Sequence[str]) -> str:
        """What to rename, where a missing folder is there under nearly its name."""
        found = []
        for part in missing:
            place = self.folder
            for name in Path(part).parts:
                near = None if (place / name).is_dir() else nearly_named(place, name)
                if near is not None:
                    found.append(f"; rename {near} to {name}")
                place = place / name
        return "".join(found)


def list_layout(folder: Path, *, root: Path) -> Listing:
    """List a folder that holds train/good, test/<kind> and, maybe, ground_truth/<kind>."""
    listing = Listing()
    for path in subfolders(folder / "train"):
        if path.name == "good":
            listing.add(images_of(path, listing, root), label=0, kind="good", split="train")
        else:
            listing.problems.append(Problem(Kind.UNEXPECTED_FOLDER, relative_name(path, root)))
    truth = folder / "ground_truth"
    kinds = subfolders(folder / "test")
    if not kinds:
        listing.problems.append(
            Problem(Kind.EMPTY_FOLDER, relative_name(folder / "test", root), "expected <kind> folders")
        )
    for path in kinds:
        _list_kind(path, truth, listing, root)
    if truth.is_dir():
        unknown = {path.name for path in subfolders(truth)} - {path.name for path in kinds}
        strays = [mask for name in sorted(unknown) for mask in list_images(truth / name)]
        listing.problems += [Problem(Kind.EXTRA_MASK, relative_name(mask, root)) for mask in strays]
    else:
        listing.problems += [
            Problem(Kind.NEAR_NAME, relative_name(path, root), "ground_truth is expected for masks")
            for path in subfolders(folder)
            if is_mask_folder(path.name)
        ]
    return listing


def _list_kind(path: Path, truth: Path, listing: Listing, root: Path) -> None:
    """List the images of ``test/<kind>`` with their masks."""
    is_good = path.name == "good"
    tell_near_good(path, listing, root, "be tested as defects")
    images = images_of(path, listing, root)
    mask_folder = truth / path.name
    masks = list_images(mask_folder) if mask_folder.is_dir() else []
    pairing = pair_masks([Candidate(i, path) for i in images], [Candidate(m, mask_folder) for m in masks], root=root)
    if truth.is_dir():  # good images need no masks
        listing.problems += left_out(mask_folder, root)
        needs_none = is_good_folder(path.name)
        wanted = (problem for problem in pairing.problems if not (needs_none and problem.kind == Kind.NO_MASK))
        listing.problems += wanted
    for image in images:
        mask = pairing.masks.get(image, "")
        listing.rows.append((str(image), str(mask), 0 if is_good else 1, path.name, "test"))
