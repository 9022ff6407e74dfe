"""The files of a run: what they are called; written whole or not at all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from extensions.runtime.atomic_write import write_whole
from extensions.runtime.disk import room_for
from extensions.runtime.escaped import writable, writable_content

RECORD = "record.json"
SCORES = "scores.csv"
CALIBRATION = "calibration.csv"
RESAMPLES = "resamples.csv"
"""A row per drawn test set, a column per pixel metric; the draws are those of `benchmark.statistics.resampling`."""
CHECKPOINT = "model.ckpt"
MAX_NAME = 80  # characters of a folder: file systems allow 255 bytes


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON whole or not at all; NaN and infinity are refused because no reader agrees on them.

    Bytes of file names that are not UTF-8 are escaped: one such name must not cost the record, nor the sweep.
    """
    write_text(path, json.dumps(writable_content(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        DiskFullError: There is no room for it; what was there before is untouched.
    """
    content = writable(text).encode()
    with room_for(path, len(content)):
        write_whole(path, content)


def run_folder(*, dataset: str, category: str, model: str, backbone: str, key: str) -> Path:
    """Where the run with this key lives in an output folder; every part is made safe as a file name."""
    kind = f"{model}-{backbone}" if backbone else model
    return Path("runs", _safe(dataset), _safe(category or "all"), _safe(kind), key)


def _safe(name: str) -> str:
    """A name as a folder: letters, digits and `.+-=_` stay, the rest becomes `_`."""
    cleaned = re.sub(r"[^\w.+=-]", "_", name)
    return cleaned[:MAX_NAME] if cleaned.strip(".") else "_"
