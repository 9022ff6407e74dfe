"""How a data set's images are cut into tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from extensions.configuration.checked_values import check_keys, is_whole
from extensions.configuration.python_numbers import python_numbers
from extensions.data.tiling.grid import Grid, grid_of

OVERLAP = 32  # px, unless another is given


@dataclass(frozen=True)
class Tiling:
    """The tiles of an image; all are of one size, none is padded.

    Attributes:
        tile: Height and width of a tile in px.
        overlap: What neighbors above and beside each other share, in px; the last ones of a row or column share more.
        resize: Height and width in px that the whole image is brought to before it is cut; None leaves it as it is.

    Raises:
        ValueError: A size that cannot be.
    """

    tile: tuple[int, int]
    overlap: tuple[int, int] = (OVERLAP, OVERLAP)
    resize: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _check("tile", self.tile, least=1)
        _check("overlap", self.overlap, least=0)
        if any(shared >= side for shared, side in zip(self.overlap, self.tile, strict=True)):
            msg = (
                f"tiling.overlap is {_told(self.overlap)} px and tiling.tile {_told(self.tile)}; expected an overlap "
                "smaller than the tile: an eighth of it is usual"
            )
            raise ValueError(msg)
        if self.resize is not None:
            _check("resize", self.resize, least=1)
            if any(side < tile for side, tile in zip(self.resize, self.tile, strict=True)):
                msg = (
                    f"tiling.resize is {_told(self.resize)} px and tiling.tile {_told(self.tile)}; expected images no "
                    "smaller than a tile: make the tile smaller, or resize to more"
                )
                raise ValueError(msg)

    @classmethod
    def from_settings(cls, given: Mapping[str, Any]) -> Tiling:
        """From a configuration: `tile`, and maybe `overlap` and `resize`, each one number of px or (height, width).

        Raises:
            ValueError: A key that is not known, a value that cannot be, or no `tile`.
        """
        if not isinstance(given, Mapping):
            msg = f"tiling is {given!r}; expected its settings, such as {{tile: 256, overlap: {OVERLAP}}}"
            raise ValueError(msg)
        check_keys(given, [field.name for field in fields(cls)], place="tiling.")
        if given.get("tile") is None:
            msg = f"tiling has no tile; expected the side of a tile in px, such as {{tile: 256, overlap: {OVERLAP}}}"
            raise ValueError(msg)
        return cls(**{name: _pair(name, value) for name, value in given.items() if value is not None})

    def stored(self) -> dict[str, Any]:
        """As plain values."""
        return {name: value if value is None else list(value) for name, value in asdict(self).items()}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Tiling:
        """What `stored` gave."""
        return cls.from_settings(stored)

    @property
    def told(self) -> str:
        """For a person."""
        resize = "" if self.resize is None else f", of images resized to {_told(self.resize)}"
        return f"tiles of {_told(self.tile)} px, overlap {_told(self.overlap)}{resize}"

    def size_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width in px of what is cut of an image of this height and width."""
        return self.resize or size

    def fits(self, size: tuple[int, int]) -> bool:
        """Whether an image of this height and width is no smaller than a tile."""
        return all(side >= tile for side, tile in zip(self.size_of(size), self.tile, strict=True))

    def grid(self, size: tuple[int, int]) -> Grid:
        """Where the tiles of an image of this height and width lie, once it was resized.

        Raises:
            ValueError: The image is smaller than a tile.
        """
        if not self.fits(size):
            raise self.error(size)
        return grid_of(self.size_of(size), self.tile, self.overlap)

    def error(self, size: tuple[int, int]) -> ValueError:
        """Of an image that is smaller than a tile."""
        return ValueError(f"the image is {self.too_small(size)}")

    def too_small(self, size: tuple[int, int]) -> str:
        """What is said of an image that is smaller than a tile."""
        return (
            f"{size[0]} x {size[1]} px (height x width), smaller than a tile of {_told(self.tile)}: make tiling.tile "
            "smaller, or set tiling.resize"
        )


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    value = python_numbers(value)
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return value[0], value[1]
    return value, value


def _check(name: str, sides: tuple[int, int], *, least: int) -> None:
    if not all(is_whole(side, least) for side in sides):
        value = sides[0] if sides[0] == sides[1] else list(sides)
        msg = f"tiling.{name} is {value!r}; expected px, {least} or more, as one whole number or [height, width]"
        raise ValueError(msg)


def _told(sides: tuple[int, int]) -> str:
    return f"{sides[0]} x {sides[1]}"
