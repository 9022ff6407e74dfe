"""What a label file says of one image, whatever program wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from extensions.data.errors import Problem
from extensions.data.labels.regions import Region, Size


@dataclass(frozen=True)
class Shape:
    """One drawn thing.

    Attributes:
        label: Its name; empty for mask files, which carry none.
        where: Its place, for messages: the label file and the key in it.
        region: What it marks.
        instance: Shapes of one image with the same text are one instance; empty for one on its own.
    """

    label: str
    where: str
    region: Region
    instance: str = ""


@dataclass(frozen=True)
class LabeledImage:
    """One image and what is drawn on it.

    Attributes:
        where: The entry's place, for messages.
        names: What the image may be called, the surest first: paths with forward slashes.
        size: That the label file says it has; None where it says nothing.
        shapes: None of them for a good image.
        path: Where the image lies if it lies where the label file says.
    """

    where: str
    names: tuple[str, ...]
    size: Size | None = None
    shapes: tuple[Shape, ...] = ()
    path: Path | None = None


@dataclass
class Labels:
    """All that was read.

    Attributes:
        images: One entry for each entry of a label file.
        known: The names of all labels, those that no shape has, too.
        problems: What could not be read.
    """

    images: list[LabeledImage] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def add(self, other: Labels) -> None:
        """Take what another file says."""
        self.images += other.images
        self.known |= other.known
        self.problems += other.problems
