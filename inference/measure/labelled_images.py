"""Images of which it is known whether they are anomalous: to fit a threshold on, and to judge networks by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from extensions.data.groups import GROUP
from extensions.data.imaging import Imaging
from inference.predict.sources import list_source_images

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels.

    Attributes:
        files: Of the images.
        is_anomalous: (N,) bool.
        masks: Of each image; None without one.
        what: What they are, for a person.
        kind: The same in short, as the source of a threshold has it.
        groups: The part that each image is of; None where no parts are named.
    """

    files: tuple[Path, ...]
    is_anomalous: np.ndarray
    masks: tuple[Path | None, ...]
    what: str
    kind: str = "test images"
    groups: tuple[str, ...] | None = None

    @classmethod
    def from_samples(cls, samples: pd.DataFrame, what: str, *, kind: str = "test images") -> LabelledImages:
        """From the samples of a datamodule's data set."""
        masks = samples["mask_path"].fillna("") if "mask_path" in samples else [""] * len(samples)
        return cls(
            files=tuple(map(Path, samples["image_path"])),
            is_anomalous=samples["label_index"].to_numpy() == 1,
            masks=tuple(Path(mask) if mask else None for mask in masks),
            what=what,
            kind=kind,
            groups=tuple(samples[GROUP]) if GROUP in samples else None,
        )

    @classmethod
    def from_files(cls, files: Sequence[Path], is_anomalous: np.ndarray, what: str) -> LabelledImages:
        """From files without masks."""
        return cls(tuple(files), np.asarray(is_anomalous, bool), (None,) * len(files), what)

    @classmethod
    def from_folder(cls, folder: Path, *, imaging: Imaging | None = None) -> LabelledImages:
        """From a folder: all are anomalous but those below a folder `good`.

        Masks, beside the images or in folders of their own, are left out and told.

        Raises:
            ValueError: There are not both normal and anomalous images.
            FileNotFoundError: No such folder.
        """
        files = list_source_images(folder, without_masks=True, imaging=imaging)
        labels = np.array(["good" not in file.relative_to(folder).parts[:-1] for file in files], bool)
        found = cls.from_files(files, labels, f"the labelled images in {folder.name}")
        found.check(folder)
        return found

    @property
    def has_both(self) -> bool:
        """Whether some images are normal and some anomalous."""
        return bool(self.is_anomalous.any()) and not bool(self.is_anomalous.all())

    def check(self, folder: Path) -> None:
        """Raise ValueError unless there are normal and anomalous images in the folder that they are of."""
        if not self.has_both:
            n_good = int((~self.is_anomalous).sum())
            msg = f"{folder}: expected images in a folder 'good' and in others, found {n_good} good and "
            msg += f"{len(self.files) - n_good} other ones"
            raise ValueError(msg)

    def without(self, seen: Sequence[Path]) -> LabelledImages:
        """Those that a model was not trained on."""
        trained_on = {path.resolve() for path in seen}
        kept = [place for place, file in enumerate(self.files) if file.resolve() not in trained_on]
        files = tuple(self.files[place] for place in kept)
        masks = tuple(self.masks[place] for place in kept)
        groups = None if self.groups is None else tuple(self.groups[place] for place in kept)
        return replace(self, files=files, is_anomalous=self.is_anomalous[kept], masks=masks, groups=groups)

    def __str__(self) -> str:
        n_anomalous = int(self.is_anomalous.sum())
        return f"{self.what}: {len(self.files) - n_anomalous} normal, {n_anomalous} anomalous"
