"""The images of a data set that masks are drawn for, and where each mask belongs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIX = "_mask.png"  # of a mask's name, after its image's stem: what MVTec AD has, and `pair_masks` takes


@dataclass(frozen=True)
class MaskTarget:
    """What is known of a data set before it has masks.

    Attributes:
        name: The data set's.
        root: That names in messages are relative to.
        top: Folder above all anomalous images; the folders below it are repeated in the folder of masks.
        anomalous: Images that need masks.
        normal: Images that have none.
        others: Images whose masks are not read from the folder of masks: of calibration, known defects.
    """

    name: str
    root: Path
    top: Path
    anomalous: Sequence[Path]
    normal: Sequence[Path] = ()
    others: Sequence[Path] = ()

    def mask_name(self, image: Path) -> str:
        """Of an anomalous image's mask, relative to the folder of masks."""
        return (image.parent.relative_to(self.top) / f"{image.stem}{SUFFIX}").as_posix()

    def named(self, path: Path) -> str:
        """A path for messages: relative to the root where it lies below, else to the working directory."""
        base = self.root if path.is_relative_to(self.root) else Path.cwd()
        return os.path.relpath(path, base) if path.is_relative_to(base) else str(path)
