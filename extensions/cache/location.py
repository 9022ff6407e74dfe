"""Where the cache of this machine lies, and how much it may take."""

import logging
import os
import tempfile
from pathlib import Path

from extensions.cache.store import DEFAULT_LIMIT, WorkCache
from extensions.runtime.cache_folder import cache_folder
from extensions.runtime.limits import limit_of

logger = logging.getLogger(__name__)

VERSION = "1"  # of the entries' layout and meaning; a cache of another version is not read


def open_cache() -> WorkCache:
    """The cache in `$WORKBENCH_CACHE`, else in the user's cache folder; limited by `$WORKBENCH_CACHE_LIMIT` (GiB).

    A folder that is of another version or owner, or cannot be written, is left alone with a word: nothing is cached.

    Raises:
        ValueError: The limit is no number of GiB; 0 turns the cache off.
    """
    limit = limit_of("WORKBENCH_CACHE_LIMIT", DEFAULT_LIMIT, without="no cache")
    if not limit:
        return WorkCache(None)
    folder = cache_folder() / "work"
    problem = _problem_of(folder)
    if problem:
        logger.warning("%s is not used as a cache: %s; results stay the same", folder, problem)
        return WorkCache(None)
    return WorkCache(folder, limit=limit)


def _problem_of(folder: Path) -> str:
    """Why the folder cannot be used, empty when it can; makes it when it is not there."""
    version = folder / "VERSION"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            return "it belongs to another user"
        if not version.exists():
            with tempfile.NamedTemporaryFile("w", prefix=".unfinished-", dir=folder, delete=False) as file:
                file.write(VERSION)
            Path(file.name).replace(version)
        found = version.read_text(encoding="utf-8", errors="replace").strip()[:20]
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return error.strerror or str(error)
    return "" if found == VERSION else f"it is of version {found!r}, expected {VERSION!r}"
