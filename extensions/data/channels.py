"""The channels of an image, where they are not the three of an RGB file: how many, and in which files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RGB = 3


@dataclass(frozen=True)
class Channels:
    """How many channels an image has, and which files hold them.

    Attributes:
        n: In all.
        suffixes: How the names of an image's files end, in the order of the channels; the first file names the image,
            and the others lie beside it. Empty where one file holds all channels.
    """

    n: int
    suffixes: tuple[str, ...] = ()

    def files_of(self, image: str | Path) -> list[Path]:
        """The files that an image is made of.

        Args:
            image: Its first file.
        """
        if not self.suffixes:
            return [Path(image)]
        stem = str(image).removesuffix(self.suffixes[0])
        return [Path(stem + suffix) for suffix in self.suffixes]

    def first_files(self, files: Iterable[Path]) -> list[Path]:
        """Those of some files that name an image; all of them where one file holds all channels."""
        return [file for file in files if not self.suffixes or str(file).endswith(self.suffixes[0])]

    @property
    def argument(self) -> int | tuple[str, ...]:
        """As a data set takes it."""
        return self.suffixes or self.n

    def __str__(self) -> str:
        return f"{self.n} of {', '.join(self.suffixes)}" if self.suffixes else str(self.n)

    def stored(self) -> dict[str, Any]:
        """Plain values."""
        return {"n": self.n, "suffixes": list(self.suffixes)}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Channels:
        """What `stored` gave."""
        return cls(int(stored["n"]), tuple(map(str, stored["suffixes"])))


def checked_channels(given: Any) -> int | tuple[str, ...] | None:
    """The argument `channels` of a data set: a number, or the ends of the names of the files of an image.

    Raises:
        ValueError: It is something else, or of two ends one is the end of the other.
    """
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and given > 0):
        return given
    ends = given if isinstance(given, Sequence) and not isinstance(given, str) else ()
    if not ends or not all(isinstance(end, str) and end and "/" not in end for end in ends):
        msg = (
            f"channels is {given!r}; expected the number of channels in a file, or how the names of an image's files "
            "end, such as [_rgb.png, _nir.png, _depth.png]"
        )
        raise ValueError(msg)
    for place, one in enumerate(ends):
        if alike := [other for other in (*ends[:place], *ends[place + 1 :]) if other.endswith(one)]:
            msg = (
                f"channels is {list(ends)}, where files that end in {alike[0]} end in {one}, too; expected ends that "
                "tell an image's files apart, such as [_rgb.png, _nir.png]"
            )
            raise ValueError(msg)
    return tuple(ends)


def first_end(channels: int | Sequence[str] | None) -> str:
    """How the names of images end where they have several files; empty elsewhere."""
    return channels[0] if isinstance(channels, Sequence) else ""


def n_channels(channels: Channels | None) -> int:
    """Of the images of a data set; 3 where nothing is said."""
    return RGB if channels is None else channels.n
