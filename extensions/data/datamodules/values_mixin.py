"""What a data set's arguments `range` and `channels` make of its images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from anomalib.data.utils import ValSplitMode

from extensions.data.channels import Channels, checked_channels, n_channels
from extensions.data.checks.data_check import raise_problems
from extensions.data.checks.value_checks import (
    checked_against,
    clipped,
    found_channels,
    found_range,
    orphans,
    read_all,
)
from extensions.data.errors import DatasetError, Problem
from extensions.data.value_range import AUTO, ValueRange, checked_range, joined_range

if TYPE_CHECKING:
    import pandas as pd

ALL = f"{1:.1%}"  # of an image's values, as `clipped` tells them


class ValuesMixin:
    """Mix-in for `WorkbenchDataModule`.

    Attributes:
        range: As given, `auto` or the range.
        channels: As given.
    """

    range: ValueRange | str | None
    channels: int | tuple[str, ...] | None
    name: Any
    root: Any
    synthetic: bool
    val_split_mode: Any
    imaging: Any
    _imaging: Any
    _value_range: ValueRange | None
    _channels: Channels | None

    def _set_values(self, given_range: Any, given_channels: Any) -> None:
        """Check both arguments; ValueError for what cannot be."""
        self.range, self.channels = checked_range(given_range), checked_channels(given_channels)
        self._value_range = self.range if isinstance(self.range, ValueRange) else None
        self._channels = None

    @property
    def reads_plainly(self) -> bool:
        """Whether images are read as 8 bits of grey or RGB, with neither ``range`` nor ``channels``."""
        return self.range is None and self.channels is None

    def _value_problems(self, samples: pd.DataFrame) -> list[Problem]:
        """Learn the channels of the images, and what is wrong with these and with the range."""
        if self.reads_plainly:
            return []
        self._check_undrawn()
        values = read_all(samples["image_path"], self.channels, title=f"checking values of {self.name}")
        self._channels, problems = found_channels(values, self.channels, root=self.root)
        problems += orphans({Path(path).parent for path in values}, self.channels, root=self.root)
        if self._value_range is not None and not problems:
            self._value_range, problems = checked_against(
                values, self._value_range, n_channels(self._channels), name=self.name, root=self.root
            )
            outside = clipped(values, self._imaging, root=self.root)
            if outside and sum(problem.detail == ALL for problem in outside) == len(values):
                msg = (
                    f"range of data set {self.name!r} is {self._value_range}, and all values of all images lie outside "
                    "of it; give the range that the files hold, or auto"
                )
                raise DatasetError(msg)
            problems += outside
        return problems

    def _check_undrawn(self) -> None:
        """Refuse defects to be drawn: they are drawn in 8 bits of RGB."""
        if self.synthetic or self.val_split_mode == ValSplitMode.SYNTHETIC or getattr(self, "repeats", 1) > 1:
            msg = (
                f"data set {self.name!r} has range or channels, and images that are to be drawn, which have 8 bits of "
                "RGB: choose another split mode than synthetic, and no repeats"
            )
            raise DatasetError(msg)

    def _take_range(self, train: pd.DataFrame) -> None:
        """Find the range of the good training images, where it is to be found, and tell what it clips."""
        if self.range != AUTO:
            return
        good = train["image_path"][train["label_index"] == 0]
        if good.empty:
            msg = f"range of data set {self.name!r} is {AUTO}, but there are no good training images: give [low, high]"
            raise DatasetError(msg)
        values = read_all(good, self.channels, title=f"checking values of {self.name}")
        self._value_range = found_range(values, self._channels)
        if problems := clipped(values, self._imaging, root=self.root):
            raise_problems(train.iloc[:0], problems, name=self.name, root=self.root)

    def _take_imaging(self, parts: Mapping[str, Self]) -> None:
        """Take over how images of the parts of a joined data set are read; a range that was found is that of all.

        Raises:
            DatasetError: The parts differ.
        """
        found = [part.imaging for part in parts.values()]
        if len({one.channels for one in found}) > 1 or len({part.range for part in parts.values()}) > 1:
            told = "; ".join(f"{name}: range {part.range}, channels {part.channels}" for name, part in parts.items())
            msg = f"the products of data set {self.name!r} differ in range or channels ({told}); give all the same"
            raise DatasetError(msg)
        self._channels = found[0].channels
        ranges = [one.range for one in found if one.range is not None]
        self._value_range = joined_range(ranges) if ranges else None
