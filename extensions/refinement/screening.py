"""Which images are screened: those for training, and those held out of them where no defect is there to test with."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule


class Screening:
    """The images of a datamodule that nobody vouches for.

    Where a test image is anomalous the test set is somebody's word, and stays as it is: the training images are
    screened. Where none is, the test images were held out of images that are only believed to be good, and the
    threshold is set on them: they are screened with the training images, and what is removed sets no threshold.

    Args:
        datamodule: Set up. It is not changed.

    Attributes:
        datamodule: The same with all screened images as its training images.
        held_out: (n,) bool, which of these are not for training.
    """

    def __init__(self, datamodule: AnomalibDataModule) -> None:
        test, train = datamodule.test_data.samples, datamodule.train_data.samples
        has_defects = bool((test["label_index"] == 1).any())
        self.datamodule = datamodule
        self._test = datamodule.test_data
        if not has_defects:
            self.datamodule = copy.copy(datamodule)
            self.datamodule.train_data = copy.copy(datamodule.train_data)
            self.datamodule.train_data.samples = _as_samples(pd.concat([train, test], ignore_index=True), train)
        self.held_out = self._is_held_out(self.datamodule.train_data.samples)  # anomalib sorts the samples it is given

    def apart(self, part: AnomalibDataModule) -> AnomalibDataModule:
        """A datamodule with some of the screened images: those for training, and those held out as its test set.

        Raises:
            ValueError: None of the one or the other is left.
        """
        if not self.held_out.any():
            return part
        samples = part.train_data.samples
        is_held_out = self._is_held_out(samples)
        if is_held_out.all() or not is_held_out.any():
            kind = "training" if is_held_out.all() else "held-out"
            msg = (
                f"data set {part.name!r} has no {kind} images left after suspects were removed; give more images, "
                "or good ones to test with (normal_test_dir)"
            )
            raise ValueError(msg)
        split = copy.copy(part)
        split.train_data, split.test_data = copy.copy(part.train_data), copy.copy(self._test)
        split.train_data.samples = _as_samples(samples[~is_held_out].reset_index(drop=True), samples)
        split.test_data.samples = _as_samples(samples[is_held_out].reset_index(drop=True), self._test.samples)
        return split

    def _is_held_out(self, samples: pd.DataFrame) -> np.ndarray:
        """(n,) bool; no image stands in both sets, the checks of the data see to that."""
        test = self._test.samples
        return samples["image_path"].isin(set(test.loc[test["label_index"] == 0, "image_path"])).to_numpy(bool)


def _as_samples(frame: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    frame.attrs.update(like.attrs)
    return frame
