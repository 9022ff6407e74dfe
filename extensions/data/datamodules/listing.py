"""The files of a data set as found on disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from extensions.data.errors import Problem

COLUMNS = ("image_path", "mask_path", "label_index", "kind", "split")


@dataclass
class Listing:
    """The files of a data set as found on disk: rows of `COLUMNS`, and what is wrong with names and folders."""

    rows: list[tuple[str, str, int, str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, images: Sequence[Path], *, label: int, kind: str, split: str) -> None:
        """Append images that have no masks."""
        self.rows += [(str(path), "", label, kind, split) for path in images]

    def frame(self) -> pd.DataFrame:
        """The rows, sorted by image."""
        frame = pd.DataFrame(self.rows, columns=list(COLUMNS)).astype({"label_index": int})
        return frame.sort_values("image_path", ignore_index=True)
