"""Writes a folder of masks, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from extensions.runtime.atomic_write import whole_folder


def check_new(folder: Path) -> None:
    """Whether a folder of masks can be made without touching what is there.

    Raises:
        ValueError: Something is there.
    """
    if folder.exists() and not folder.is_dir():
        msg = f"--output: {folder} is a file; give a new folder for the masks"
        raise ValueError(msg)
    if folder.exists() and (there := sorted(path.name for path in folder.iterdir())):
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        msg = (
            f"--output: {folder} holds {there[0]}{more}; expected a new or empty folder, for masks that are there are "
            "kept: give another one, or move them away"
        )
        raise ValueError(msg)


def write_masks(masks: Mapping[str, bytes], folder: Path) -> None:
    """Write files by their names below a folder that is new or empty.

    Raises:
        ValueError: See `check_new`.
        OSError: It cannot be written; the message names the folder and the reason.
    """
    check_new(folder)
    with whole_folder(folder, ()) as new:
        for name, content in masks.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
