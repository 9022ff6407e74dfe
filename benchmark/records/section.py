"""A part of a file that is read into a type, and written as it was."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a record. What a file does not say is None or empty; what no field is for is kept as it is.

    `on_disk` gives back what was read or set and nothing else, so that a record keeps its form. Change a section by
    `model_copy(update={…})`.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", protected_namespaces=())

    def on_disk(self) -> dict[str, Any]:
        """As the file has it."""
        return self.model_dump(exclude_unset=True)
