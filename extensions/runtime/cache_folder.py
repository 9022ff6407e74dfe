"""Where this program keeps what it can make again."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """``$WORKBENCH_CACHE``, else the user's cache folder for this program."""
    given = os.environ.get("WORKBENCH_CACHE")
    return Path(given).expanduser().absolute() if given else user_cache_path("anomaly-workbench")
