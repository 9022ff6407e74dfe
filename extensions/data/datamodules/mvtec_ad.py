"""Data sets laid out as MVTec AD: train/good, test/<kind>, ground_truth/<kind>/<name>_mask.png."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from extensions.data.channels import first_end
from extensions.data.checks.folder_names import is_good_folder, is_mask_folder, nearly_named
from extensions.data.checks.left_out import left_out
from extensions.data.checks.mask_pairing import Candidate, pair_masks
from extensions.data.datamodules.datamodule import WorkbenchDataModule
from extensions.data.datamodules.kind_folders import images_of, subfolders, tell_near_good
from extensions.data.datamodules.listing import Listing
from extensions.data.datamodules.together import set_up_together
from extensions.data.errors import DatasetError, DatasetMissingError, Kind, Problem
from extensions.data.joint_training import ALL, ONE_EACH, ONE_FOR_ALL, TESTED
from extensions.data.reading.files import from_data_root, list_images, relative_name


class MVTecAD(WorkbenchDataModule):
    """MVTec AD, or any data set laid out like it.

    Bergmann, Batzner, Fauser, Sattlegger, Steger (2021): The MVTec Anomaly Detection Dataset,
    https://doi.org/10.1007/s11263-020-01400-4.

    The subfolders of ``test`` are the kinds of defect. Without a ``ground_truth`` folder there are no masks; with one
    every anomalous image needs its own. Masks in ``ground_truth/good`` must be black.

    Several categories are one data set: a detector is trained on all of them together. Each is listed, checked and
    split by itself, with all other arguments, so that its test images are those it has alone; the samples have a column
    ``product``, and the same image in training of one category and in the test of another is an error.

    Args:
        root: the folder that holds the categories; relative to ``data_root``.
        category: folder below ``root``; "" when ``root`` itself holds train and test; a list of several, or ``all``
            for every folder there that holds train or test.
        name: the data set's name in records and reports, for another data set of this layout.
        data_root: where a relative root starts (``--data-root``); None for ``$WORKBENCH_DATA``, else the working
            directory.
        test_category: of several the one that is tested on, and validated on where validation images are test images;
            None for all. A benchmark tests each in turn, see ``docs/data.md``.
        training: of several categories, for a benchmark: ``one_for_all`` trains one detector on all of them,
            ``one_each`` is as if each was listed on its own.
        kwargs: see `WorkbenchDataModule`.

    Example:
        >>> data = MVTecAD(root="~/data/mvtec", category="bottle")
        >>> data = MVTecAD(root="~/data/mvtec", category=["bottle", "cable"], test_category="cable")
    """

    def __init__(
        self,
        root: str | Path = "mvtec",
        category: str | Sequence[str] = "bottle",
        name: str | None = None,
        data_root: str | Path | None = None,
        test_category: str | None = None,
        training: str = ONE_FOR_ALL,
        **kwargs: Any,
    ) -> None:
        self._categories = checked_products(category, test_category)
        self.test_category = test_category
        self._is_one_each = checked_training(training) == ONE_EACH
        super().__init__(
            name=name or "MVTecAD",
            root=from_data_root(root, data_root),
            category=test_category or ("+".join(self._categories) if self._categories else ALL),
            **kwargs,
        )

    @property
    def folder(self) -> Path:
        """The folder that holds train and test; of several categories the one that holds them all."""
        is_one = len(self._categories) == 1 and self.category
        return self.root / self.category if is_one else self.root

    @property
    def _folder_of_relative(self) -> Path:
        return self.folder

    @property
    def product_names(self) -> list[str]:
        """The categories that are trained on together; empty for one.

        Raises:
            DatasetMissingError: ``category`` is ``all``, and no folder of a category is there.
        """
        if self._categories:
            return list(self._categories) if len(self._categories) > 1 else []
        there = subfolders(self.root) if self.root.is_dir() else []
        found = [path.name for path in there if (path / "train").is_dir() or (path / "test").is_dir()]
        if not found:
            msg = (
                f"data set {self.name!r} has no categories at {self.root}; expected folders that hold train/good and "
                "test/<kind>: set its root in the config, --data-root or $WORKBENCH_DATA"
            )
            raise DatasetMissingError(msg)
        return found

    def per_product(self, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `WorkbenchDataModule.per_product`: with one model for all of them each is the ``test_category`` once."""
        names = self.product_names or list(self._categories)
        if len(names) == 1 or self._is_one_each:
            rest = {name: value for name, value in arguments.items() if name not in (*TESTED, "training")}
            return [rest | {"category": name} for name in names if self.test_category in (None, name)]
        return [{**arguments, "test_category": name} for name in names if self.test_category in (None, name)]

    def _setup(self, stage: str | None = None) -> None:
        names = self.product_names
        if not names:
            super()._setup(stage)
            return
        if self.test_category is not None and self.test_category not in names:
            msg = (
                f"test_category is {self.test_category!r}, but the categories of data set {self.name!r} are "
                f"{', '.join(names)}; name one of these"
            )
            raise DatasetError(msg)
        if self._is_one_each:
            msg = (
                f"training is {ONE_EACH!r} with {len(names)} categories of data set {self.name!r}; a benchmark makes "
                f"one data set of each, elsewhere name one category, or set training to {ONE_FOR_ALL!r}"
            )
            raise DatasetError(msg)
        set_up_together(self, {name: self._part(name) for name in names}, tested=self.test_category)

    def _part(self, category: str) -> "MVTecAD":
        """One category with the arguments of this data set."""
        args, kwargs = self._given or ((), {})
        positional = dict(
            zip(("root", "category", "name", "data_root", "test_category", "training"), args, strict=False)
        )
        return type(self)(**(positional | kwargs | {"category": category, "test_category": None}))

    def _list(self) -> Listing:
        self._find_folders()
        return list_layout(self.folder, root=self.root, channels=self.channels)

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


def checked_products(category: str | Sequence[str], test_category: str | None) -> tuple[str, ...]:
    """The categories by name; none for ``all``, which are those on disk.

    Raises:
        ValueError: no category, one twice, or a ``test_category`` that is none of them.
    """
    if category == ALL:
        return ()
    names = (category,) if isinstance(category, str) else tuple(map(str, category))
    if not names or len(set(names)) < len(names):
        msg = f"category is {list(names)}; expected a folder, several that differ, or {ALL}"
        raise ValueError(msg)
    if test_category is not None and (len(names) == 1 or test_category not in names):
        msg = (
            f"test_category is {test_category!r} and category {category!r}; expected one of several categories: list "
            "those that are trained on together, or leave test_category out"
        )
        raise ValueError(msg)
    return names


def checked_training(training: str) -> str:
    """How detectors are trained, or a ValueError that lists the ways."""
    if training not in (ONE_FOR_ALL, ONE_EACH):
        msg = f"training is {training!r}; expected {ONE_FOR_ALL} or {ONE_EACH}"
        raise ValueError(msg)
    return training


def list_layout(folder: Path, *, root: Path, channels: int | Sequence[str] | None = None) -> Listing:
    """List a folder that holds train/good, test/<kind> and, maybe, ground_truth/<kind>."""
    listing = Listing()
    for path in subfolders(folder / "train"):
        if path.name == "good":
            listing.add(images_of(path, listing, root, channels=channels), label=0, kind="good", split="train")
        else:
            listing.problems.append(Problem(Kind.UNEXPECTED_FOLDER, relative_name(path, root)))
    truth = folder / "ground_truth"
    kinds = subfolders(folder / "test")
    if not kinds:
        listing.problems.append(
            Problem(Kind.EMPTY_FOLDER, relative_name(folder / "test", root), "expected <kind> folders")
        )
    for path in kinds:
        _list_kind(path, truth, listing, root, channels=channels)
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


def _list_kind(path: Path, truth: Path, listing: Listing, root: Path, *, channels: int | Sequence[str] | None) -> None:
    """List the images of ``test/<kind>`` with their masks."""
    is_good = path.name == "good"
    tell_near_good(path, listing, root, "be tested as defects")
    images = images_of(path, listing, root, channels=channels)
    mask_folder = truth / path.name
    masks = list_images(mask_folder) if mask_folder.is_dir() else []
    pairing = pair_masks(
        [Candidate(i, path) for i in images],
        [Candidate(m, mask_folder) for m in masks],
        root=root,
        image_end=first_end(channels),
    )
    if truth.is_dir():  # good images need no masks
        listing.problems += left_out(mask_folder, root)
        needs_none = is_good_folder(path.name)
        wanted = (problem for problem in pairing.problems if not (needs_none and problem.kind == Kind.NO_MASK))
        listing.problems += wanted
    for image in images:
        mask = pairing.masks.get(image, "")
        listing.rows.append((str(image), str(mask), 0 if is_good else 1, path.name, "test"))
