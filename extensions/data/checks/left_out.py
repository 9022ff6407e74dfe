"""Image files that are left out because of the endings of their names."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from extensions.data.errors import Kind, Problem, describe, warn_once
from extensions.data.reading.files import list_files, relative_name
from extensions.data.reading.image_files import IMAGE_EXTENSIONS
from extensions.runtime.escaped import escaped

logger = logging.getLogger(__name__)

_NO_IMAGES = {".txt", ".csv", ".json", ".xml", ".yaml", ".yml", ".md", ".zip", ".npy", ".npz", ".py", ".db", ".html"}
# Pillow reads some of these only with plug-ins, and others not at all.
_FOREIGN = {".heic", ".heif", ".avif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".raw", ".dcm"}
_FOREIGN |= {".exr", ".tga", ".pcx", ".psd"}
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM", "JPEG2000")


def left_out(
    folder: Path, root: Path, *, extensions: Sequence[str] = IMAGE_EXTENSIONS, exclude: Iterable[Path] = ()
) -> list[Problem]:
    """Files under ``folder`` that are images by what they hold but not by their endings: one problem an ending."""
    accepted = {extension.lower() for extension in extensions}
    found: dict[str, list[Path]] = defaultdict(list)
    for path in list_files(folder, exclude=exclude):
        ending = path.suffix.lower()
        if ending not in accepted and (ending in _FOREIGN or (ending not in _NO_IMAGES and _is_image(path))):
            found[ending].append(path)
    problems = []
    for ending, paths in sorted(found.items()):
        detail = f"{len(paths)} ending in {ending}" if ending else f"{len(paths)} without an ending"
        problems.append(Problem(Kind.LEFT_OUT, relative_name(paths[0], root), detail, len(paths)))
    return problems


def tell(folder: Path, problems: Sequence[Problem]) -> None:
    """Log problems that stop nobody, each list once a process."""
    if problems:
        warn_once(f"{escaped(folder)}:\n{describe(problems)}")


def _is_image(path: Path) -> bool:
    try:
        with Image.open(path, formats=_FORMATS):
            return True
    except Exception:  # Pillow raises many types for files that are none
        return False
