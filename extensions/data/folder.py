"""A user's own folders: good pictures, bad pictures, masks."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from anomalib.data.utils import TestSplitMode

from extensions.data.arguments import checked_mode, checked_ratio
from extensions.data.datamodule import Listing, WorkbenchDataModule
from extensions.data.errors import DatasetMissingError, Kind, Problem
from extensions.data.files import absolute, data_root, list_images, relative_name
from extensions.data.masks import MASK_FOLDER_NAMES, Candidate, pair_masks
from extensions.data.reading import IMAGE_EXTENSIONS

Paths = str | Path | Sequence[str | Path]


class Folder(WorkbenchDataModule):
    """Folders of good and bad pictures, with or without masks.

    The pictures of ``normal_dir`` train. Those of ``normal_test_dir`` and ``abnormal_dir`` test; without the former,
    ``test_split_ratio`` of the good pictures are held out. Subfolders are read; those of ``abnormal_dir`` name the
    kinds of defect. Hidden folders, and folders named in another argument, are left out. Masks are paired by name, see
    `extensions.data.masks.pair_masks`. Without ``abnormal_dir`` there are no anomalies and no metrics.

    Args:
        name: the data set's name.
        normal_dir: folder or folders of good pictures for training.
        root: where relative folders start; itself relative to ``$WORKBENCH_DATA``, else to the working directory.
        abnormal_dir: folder or folders of bad pictures.
        normal_test_dir: folder or folders of good pictures for testing.
        mask_dir: folder or folders of masks of the bad pictures; not zero means defect.
        extensions: of picture files.
        test_split_mode: ``from_dir``: as said above; ``none``: the same, but no good pictures are held out;
            ``synthetic``: the good test pictures, half of them with drawn defects, take the place of the bad ones.
        test_split_ratio: part of the good pictures that is held out for testing, 0 to below 1.
        kwargs: see `WorkbenchDataModule`.

    Example:
        >>> data = Folder("cap", normal_dir="good", root="~/pictures/cap", abnormal_dir=["scratch", "dent"])
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
        **kwargs: Any,
    ) -> None:
        base = absolute(root, base=data_root()) if root else data_root()
        self.normal_dirs = _folders(normal_dir, base)
        self.abnormal_dirs = _folders(abnormal_dir, base)
        self.normal_test_dirs = _folders(normal_test_dir, base)
        self.mask_dirs = _folders(mask_dir, base)
        if not self.normal_dirs:
            msg = f"data set {name!r} has no normal_dir; name the folder of good pictures for training"
            raise ValueError(msg)
        super().__init__(name=name, root=base if root else self._common_folder(), **kwargs)
        self.extensions = _extensions(extensions)
        self.test_split_mode = checked_mode(test_split_mode, list(TestSplitMode), "test_split_mode")
        self.test_split_ratio = checked_ratio(test_split_ratio, "test_split_ratio")
        self.synthetic = self.test_split_mode == TestSplitMode.SYNTHETIC

    def _common_folder(self) -> Path:
        named = [*self.normal_dirs, *self.abnormal_dirs, *self.normal_test_dirs]
        return Path(os.path.commonpath([folder.parent for folder in named]))

    def _list(self) -> Listing:
        named = [*self.normal_dirs, *self.abnormal_dirs, *self.normal_test_dirs, *self.mask_dirs]
        missing = [folder for folder in named if not folder.is_dir()]
        if missing:
            folders = ", ".join(str(folder) for folder in missing)
            msg = f"data set {self.name!r} lacks the folder {folders}; correct the config or $WORKBENCH_DATA"
            raise DatasetMissingError(msg)
        listing = Listing()
        self._note_mask_folders(listing)
        pairing = pair_masks(
            self._candidates(self.abnormal_dirs, listing),
            self._candidates(self.mask_dirs, listing),
            root=self.root,
        )
        if self.mask_dirs and self.abnormal_dirs:
            listing.problems += pairing.problems
        for folder in self.normal_dirs:
            listing.add(self._images(folder, listing), label=0, kind="good", split="train")
        for folder in self.normal_test_dirs:
            listing.add(self._images(folder, listing), label=0, kind="good", split="test")
        for picture in self._candidates(self.abnormal_dirs, Listing()):
            mask = pairing.masks.get(picture.path)
            listing.rows.append((str(picture.path), str(mask or ""), 1, _kind(picture), "test"))
        return listing

    def _candidates(self, folders: Sequence[Path], listing: Listing) -> list[Candidate]:
        # Only lists of equal length say by their order which folder of masks goes with which pictures.
        ordered = len(self.abnormal_dirs) == len(self.mask_dirs)
        return [
            Candidate(path, folder, index if ordered else 0)
            for index, folder in enumerate(folders)
            for path in self._images(folder, listing)
        ]

    def _images(self, folder: Path, listing: Listing) -> list[Path]:
        named = [*self.normal_dirs, *self.abnormal_dirs, *self.normal_test_dirs, *self.mask_dirs]
        # A mask may carry another extension than the pictures were restricted to.
        extensions = IMAGE_EXTENSIONS if folder in self.mask_dirs else self.extensions
        images = list_images(folder, extensions=extensions, exclude=named)
        if not images:
            detail = f"expected files ending in {', '.join(extensions)}"
            listing.problems.append(Problem(Kind.EMPTY_FOLDER, relative_name(folder, self.root), detail))
        return images

    def _note_mask_folders(self, listing: Listing) -> None:
        for folder in self.abnormal_dirs:
            for path in sorted(folder.rglob("*")):
                is_named = any(path == masks or masks in path.parents for masks in self.mask_dirs)
                if path.is_dir() and path.name.lower() in MASK_FOLDER_NAMES and not is_named:
                    listing.problems.append(Problem(Kind.MASK_FOLDER, relative_name(path, self.root)))

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
    return tuple(extension if extension.startswith(".") else f".{extension}" for extension in given)


def _kind(picture: Candidate) -> str:
    inside = picture.path.relative_to(picture.folder).parts
    return inside[0] if len(inside) > 1 else picture.folder.name
