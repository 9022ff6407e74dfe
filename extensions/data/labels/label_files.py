"""Finds label files, tells what program wrote them, and reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extensions.data.errors import Kind, Problem
from extensions.data.labels.coco import KEYS, is_coco, read_coco
from extensions.data.labels.labeled_image import Labels
from extensions.data.labels.labelme import KEYS as LABELME_KEYS
from extensions.data.labels.labelme import is_labelme, read_labelme
from extensions.data.reading.files import list_files, list_images

ENDING = ".json"


def find_label_files(given: Path) -> list[Path]:
    """The JSON files of a folder, at any depth, or the file given; none in a folder of masks.

    Raises:
        ValueError: Nothing is there, or a folder without JSON files and images.
    """
    if not given.exists():
        msg = f"{given}: not there; --convert takes a label file, a folder of them or a folder of masks"
        raise ValueError(msg)
    if not given.is_dir():
        return [given]
    found = [path for path in list_files(given) if path.suffix.lower() == ENDING]
    if not found and not list_images(given):
        msg = f"{given}: the folder holds neither JSON files nor masks; give the folder of the labels"
        raise ValueError(msg)
    return found


def read_label_files(paths: Sequence[Path], top: Path, *, where: Sequence[str]) -> Labels:
    """Read label files of labelme and COCO, mixed as they may be.

    Args:
        paths: Of the files.
        top: Folder that holds them all.
        where: Their names for messages.
    """
    labels = Labels()
    for path, name in zip(paths, where, strict=True):
        try:
            document = json.loads(path.read_bytes().decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            labels.problems.append(Problem(Kind.NOT_JSON, name, str(error)))
            continue
        if is_labelme(document):
            labels.add(read_labelme(document, path, where=name, top=top))
        elif is_coco(document):
            labels.add(read_coco(document, path, where=name))
        else:
            labels.problems.append(Problem(Kind.NOT_LABELS, name, _found(document)))
    return labels


def _found(document: Any) -> str:
    """What a document holds that is neither labelme nor COCO."""
    if not isinstance(document, dict):
        return f"it holds a {type(document).__name__}"
    missing = [key for key in KEYS if not isinstance(document.get(key), list)]
    if len(missing) < len(KEYS):
        return f"of COCO's keys it lacks the lists {', '.join(missing)}"
    missing = [key for key in LABELME_KEYS if key not in document]
    if len(missing) < len(LABELME_KEYS):
        return f"of labelme's keys it lacks {', '.join(missing)}"
    return f"its keys are {', '.join(list(document)[:8]) or 'none'}"
