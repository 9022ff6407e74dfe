"""A user's own folders: good images, bad images, masks."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from anomalib.data.utils import TestSplitMode

from extensions.data.channels import first_end
from extensions.data.checks.folder_names import is_bad_folder, is_good_folder, is_no_training_folder, nearly_named
from extensions.data.checks.inspection import inspect_files
from extensions.data.checks.left_out import left_out
from extensions.data.checks.mask_pairing import Candidate, pair_masks
from extensions.data.checks.masks_beside import mask_folders, masks_beside
from extensions.data.datamodules.checked_arguments import checked_mode, checked_ratio
from extensions.data.datamodules.datamodule import WorkbenchDataModule
from extensions.data.datamodules.listing import Listing
from extensions.data.errors import DatasetMissingError, Kind, Problem
from extensions.data.reading.files import absolute, from_data_root, list_channel_images, list_images, relative_name
from extensions.data.reading.image_files import IMAGE_EXTENSIONS

Paths = str | Path | Sequence[str | Path]


class Folder(WorkbenchDataModule):
    """Folders of good and bad images, with or without masks.

    The images of ``normal_dir`` train. Those of ``normal_test_dir`` and ``abnormal_dir`` test; without the former,
    ``test_split_ratio`` of the good images are held out. Subfolders are read; those of ``abnormal_dir`` name the
    kinds of defect. Hidden folders, and folders named in another argument, are left out. Masks are paired by name, see
    `pair_masks`. They may lie beside the images, or in a folder below them, when ``mask_dir``
    names that folder of images: they are found by `masks_beside` in all folders and count as
    images in none. Without ``abnormal_dir`` there are no anomalies and no metrics.

    Args:
        name: the data set's name.
        normal_dir: folder or folders of good images for training.
        root: where relative folders start; itself relative to ``data_root``.
        abnormal_dir: folder or folders of bad images.
        normal_test_dir: folder or folders of good images for testing.
        mask_dir: folder or folders of masks of the bad images; not zero means defect.
        extensions: of image files; an empty text stands for files without one.
        test_split_mode: ``from_dir``: as said above; ``none``: the same, but no good images are held out;
            ``synthetic``: the good test images, half of them with drawn defects, take the place of the bad ones.
        test_split_ratio: part of the good images that is held out for testing, 0 to below 1.
        data_root: where relative roots start (``--data-root``); None for ``$WORKBENCH_DATA``, else the working
            directory.
        kwargs: see `WorkbenchDataModule`.

    Example:
        >>> data = Folder("cap", normal_dir="good", root="~/images/cap", abnormal_dir=["scratch", "dent"])
    """

    def __init__(
        self,
        name: str,
        normal_dir: Paths,
        root: str | Path | None = None,
        abnormal_dir: Paths | None = None,
        normal_test_dir: Paths | None = None,
        mask_dir: Paths | None = None,
        extensions: Sequence[str] | None = None,
        test_split_mode: TestSplitMode | str = "from_dir",
        test_split_ratio: float = 0.2,
        data_root: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        base = from_data_root(root or "", data_root)
        self.normal_dirs = _folders(normal_dir, base)
        self.abnormal_dirs = _folders(abnormal_dir, base)
        self.normal_test_dirs = _folders(normal_test_dir, base)
        self.mask_dirs = _folders(mask_dir, base)
        if not self.normal_dirs:
            msg = f"data set {name!r} has no normal_dir; name the folder of good images for training"
            raise ValueError(msg)
        common = Path(os.path.commonpath([folder.parent for folder in self._image_dirs]))
        super().__init__(name=name, root=base if root else common, **kwargs)
        self._base = base
        self.extensions = _extensions(extensions)
        self._are_extensions_given = extensions is not None
        self.test_split_mode = checked_mode(test_split_mode, list(TestSplitMode), "test_split_mode")
        self.test_split_ratio = checked_ratio(test_split_ratio, "test_split_ratio")
        self.synthetic = self.test_split_mode == TestSplitMode.SYNTHETIC

    @property
    def _folder_of_relative(self) -> Path:
        return self._base

    def _list(self) -> Listing:
        missing = [folder for folder in self._named if not folder.is_dir()]
        if missing:
            folders = ", ".join(str(folder) for folder in missing)
            near = [found for folder in missing if (found := nearly_named(folder.parent, folder.name)) is not None]
            there = f"; there is {', '.join(map(str, near))}" if near else ""
            msg = f"data set {self.name!r} lacks the folder {folders}{there}; correct the config, --data-root or "
            msg += "$WORKBENCH_DATA"
            raise DatasetMissingError(msg)
        listing = Listing()
        self._note_folders(listing)
        files = {folder: self._files(folder, listing) for folder in self._named}
        masks = self._masks_among(files, listing)
        images = {folder: [path for path in files[folder] if path not in masks] for folder in self._image_dirs}
        ends = self.channels[:1] if isinstance(self.channels, tuple) else self.extensions
        self._expect_images(images, ends, listing)
        pairing = pair_masks(
            self._candidates(self.abnormal_dirs, images),
            self._mask_candidates(files, masks, listing),
            root=self.root,
            image_end=first_end(self.channels),
        )
        if self.mask_dirs and self.abnormal_dirs:
            listing.problems += pairing.problems
        for folder in self.normal_dirs:
            listing.add(images[folder], label=0, kind="good", split="train")
        for folder in self.normal_test_dirs:
            listing.add(images[folder], label=0, kind="good", split="test")
        for image in self._candidates(self.abnormal_dirs, images):
            mask = pairing.masks.get(image.path)
            listing.rows.append((str(image.path), str(mask or ""), 1, _kind(image), "test"))
        return listing

    @property
    def _image_dirs(self) -> list[Path]:
        return list(dict.fromkeys([*self.normal_dirs, *self.abnormal_dirs, *self.normal_test_dirs]))

    @property
    def _named(self) -> list[Path]:
        return list(dict.fromkeys([*self._image_dirs, *self.mask_dirs]))

    @property
    def _excluded(self) -> list[Path]:
        """Folders that are not read for one above them."""
        return [*self._named, *(path for path in (self._calibration_folder, self._known_folder) if path is not None)]

    @property
    def _own_mask_dirs(self) -> list[Path]:
        """Those that hold masks only."""
        return [folder for folder in self.mask_dirs if folder not in self._image_dirs]

    @property
    def _is_mixed(self) -> bool:
        """Whether masks are expected among the images."""
        return len(self._own_mask_dirs) < len(self.mask_dirs)

    def _files(self, folder: Path, listing: Listing) -> list[Path]:
        """The files of a folder that may be images or masks."""
        if not self._are_extensions_given:
            listing.problems += left_out(folder, self.root, extensions=self.extensions, exclude=self._excluded)
        # A mask may carry another extension than the images were restricted to.
        found = list_images(folder, extensions=(*IMAGE_EXTENSIONS, *self.extensions), exclude=self._excluded)
        if folder in self._own_mask_dirs:
            return found
        masks = masks_beside(found) if self._is_mixed else set()
        images = self._images_in(folder)
        return sorted({*images, *masks})

    def _images_in(self, folder: Path) -> list[Path]:
        """The image files of a folder: of several files of an image the first one."""
        return list_channel_images(folder, self.channels, extensions=self.extensions, exclude=self._excluded)

    def _masks_among(self, files: Mapping[Path, list[Path]], listing: Listing) -> set[Path]:
        """Masks in the folders of images; an error where no mask_dir says that they lie there."""
        beside = {folder: masks_beside(files[folder]) for folder in self._image_dirs}
        within = {path for place in self._mask_folders() for path in list_images(place)}
        found = set().union(*beside.values())
        if not self._is_mixed:
            listing.problems += self._problems(Kind.MASK_BESIDE, found - within)
        else:
            normal = {path for folder in (*self.normal_dirs, *self.normal_test_dirs) for path in beside[folder]}
            facts = inspect_files(normal, masks=True)
            listing.problems += self._problems(Kind.MASK_ON_NORMAL, {p for p in normal if not facts[str(p)].is_black})
        return found | within

    def _mask_folders(self) -> set[Path]:
        """Folders of masks below those of images, but for those that mask_dir names on their own."""
        return {path for place in self._image_dirs for path in mask_folders(place, named=self._own_mask_dirs)}

    def _candidates(self, folders: Sequence[Path], files: Mapping[Path, list[Path]]) -> list[Candidate]:
        # Only lists of equal length say by their order which folder of masks goes with which images.
        ordered = len(self.abnormal_dirs) == len(self.mask_dirs)
        return [
            Candidate(path, folder, index if ordered else 0)
            for index, folder in enumerate(folders)
            for path in files[folder]
        ]

    def _mask_candidates(self, files: Mapping[Path, list[Path]], masks: set[Path], listing: Listing) -> list[Candidate]:
        """The files of folders that hold masks only; of those that hold anomalous images, too, the masks."""
        own = {folder: files[folder] for folder in self._own_mask_dirs}
        self._expect_images(own, IMAGE_EXTENSIONS, listing)
        if not self._is_mixed:
            return self._candidates(self.mask_dirs, own)
        own |= {folder: [path for path in files[folder] if path in masks] for folder in self.abnormal_dirs}
        return self._candidates(list(own), own)

    def _expect_images(self, files: Mapping[Path, list[Path]], extensions: Sequence[str], listing: Listing) -> None:
        detail = f"expected files ending in {', '.join(extensions)}"
        empty = [folder for folder, paths in files.items() if not paths]
        listing.problems += self._problems(Kind.EMPTY_FOLDER, empty, detail)

    def _note_folders(self, listing: Listing) -> None:
        """Report folders below those of images whose names say that they hold something else."""
        if not self._is_mixed:
            listing.problems += self._problems(Kind.MASK_FOLDER, self._mask_folders())
        for kind, folders, is_other in (
            (Kind.DEFECT_FOLDER, self.normal_dirs, is_no_training_folder),
            (Kind.DEFECT_FOLDER, self.normal_test_dirs, is_bad_folder),
            (Kind.GOOD_FOLDER, self.abnormal_dirs, is_good_folder),
        ):
            below = {path for folder in folders for path in self._folders_below(folder) if is_other(path.name)}
            listing.problems += self._problems(kind, below)

    def _folders_below(self, folder: Path) -> set[Path]:
        """Folders below ``folder`` that are read for it."""
        found = list_channel_images(folder, self.channels, extensions=self.extensions, exclude=self._named)
        places = {path.parent for path in found}
        return {below for place in places for below in (place, *place.parents) if folder in below.parents}

    def _problems(self, kind: Kind, paths: Iterable[Path], detail: str = "") -> list[Problem]:
        return [Problem(kind, relative_name(path, self.root), detail) for path in sorted(paths)]

    def _split_test(self, samples: pd.DataFrame) -> pd.DataFrame:
        if not self.normal_test_dirs and self.test_split_mode != TestSplitMode.NONE:
            train = samples[samples["split"] == "train"]
            moved = train.index[self._hold_out(train, self.test_split_ratio)]
            samples.loc[moved, "split"] = "test"
        return samples

    def _draw_test(self, samples: pd.DataFrame) -> pd.DataFrame:
        if not self.synthetic:
            return samples
        is_test = samples["split"] == "test"
        drawn = self._with_defects(samples[is_test & (samples["label_index"] == 0)])
        return pd.concat([samples[~is_test], drawn], ignore_index=True)


def _folders(paths: Paths | None, base: Path) -> list[Path]:
    """One path or several as a list without repetitions; an empty text counts as not given."""
    several: Iterable[str | Path] = [paths] if isinstance(paths, str | Path) else paths or []
    return list(dict.fromkeys(absolute(path, base=base) for path in several if str(path)))


def _extensions(extensions: Sequence[str] | None) -> tuple[str, ...]:
    if extensions is None:
        return IMAGE_EXTENSIONS
    given = [extensions] if isinstance(extensions, str) else extensions
    return tuple(extension if extension.startswith(".") or not extension else f".{extension}" for extension in given)


def _kind(image: Candidate) -> str:
    inside = image.path.relative_to(image.folder).parts
    return inside[0] if len(inside) > 1 else image.folder.name
