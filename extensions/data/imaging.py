"""What a data set says of its images that a detector must know, to see them alike in training and on the line."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from extensions.data.alignment.alignment import Alignment
from extensions.data.channels import Channels, n_channels
from extensions.data.regions.region import Region
from extensions.data.tiling.settings import Tiling
from extensions.data.value_range import ValueRange


@dataclass(frozen=True)
class Imaging:
    """How images of a data set reach a detector. A model keeps it, its checkpoint stores it, its export applies it.

    Nothing is set for images that are looked at whole, in 8 bits of grey or RGB. A part is a frozen dataclass with
    ``stored()``, plain values and tensors, and the class method ``of(stored)`` that reads them; `PARTS` has its class.

    Attributes:
        region: Which pixels are looked at; None for all.
        tiling: The tiles that images are looked at in; None for images that are looked at whole.
        range: The values that become 0 and 1; None for the full range of 8 bits, to which other files are brought.
        channels: Of an image; None for RGB, to which grey files are repeated.
        alignment: The template that images are turned and shifted onto; None for images that are seen as they lie.
    """

    region: Region | None = None
    tiling: Tiling | None = None
    range: ValueRange | None = None
    channels: Channels | None = None
    alignment: Alignment | None = None

    @property
    def n_channels(self) -> int:
        """Of the images that a detector sees."""
        return n_channels(self.channels)

    @property
    def is_read_plainly(self) -> bool:
        """Whether files are read as 8 bits of RGB."""
        return self.range is None and self.channels is None

    @property
    def is_plain(self) -> bool:
        """Whether nothing is set."""
        return not self.names

    @property
    def names(self) -> list[str]:
        """Of the parts that are set."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    def stored(self) -> dict[str, Any]:
        """For a checkpoint: by name the parts that are set, as plain values and tensors."""
        return {name: getattr(self, name).stored() for name in self.names}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Imaging:
        """What `stored` gave.

        Raises:
            ValueError: A part that is not known here.
        """
        if unknown := sorted(stored.keys() - PARTS.keys()):
            msg = (
                f"the checkpoint tells of {', '.join(unknown)} of its images, which is not known here: it is of a "
                "later version; install that"
            )
            raise ValueError(msg)
        return cls(**{name: PARTS[name].of(part) for name, part in stored.items()})


PARTS: dict[str, Any] = {
    "region": Region,
    "tiling": Tiling,
    "range": ValueRange,
    "channels": Channels,
    "alignment": Alignment,
}
"""The class of each part by its name in `Imaging`."""


def imaging_of(datamodule: Any) -> Imaging:
    """What a datamodule says; nothing for those of others."""
    found = getattr(datamodule, "imaging", None)
    return found if isinstance(found, Imaging) else Imaging()


def unknown_imaging(model: Any, datamodule: Any) -> ValueError:
    """Of a model that is none of ours, and a datamodule that says something."""
    return ValueError(
        f"{type(model).__name__} does not know {', '.join(imaging_of(datamodule).names)}, which the data set "
        f"{datamodule.name!r} sets: choose a model of extensions, or leave it out of the data set"
    )
