"""One column as a reader sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column as a reader sees it.

    Args:
        name: Column of the frame.
        heading: With unit, and an arrow for the direction that is better.
        note: What it means.
        format: Excel number format; empty for text.
        width: In characters.
        higher_is_better: None where neither is, or where values are not to be compared.
        optional: Left out of sight when every cell is blank or zero.
        usual: The value of an optional column that says nothing, left out of sight like a blank one.
        alike: Column whose values say which cells compare: those of a block that differ in it are not colored.
    """

    name: str
    heading: str
    note: str = ""
    format: str = ""
    width: int = 10
    higher_is_better: bool | None = None
    optional: bool = False
    usual: str = ""
    alike: str = ""
