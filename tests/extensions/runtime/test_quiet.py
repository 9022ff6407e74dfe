"""Libraries are silent, this project and errors are not."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from extensions.runtime.quiet import is_shown

SPEAKERS = """
import logging, os, warnings
from extensions.runtime.quiet import set_up_output

set_up_output(told=logging.INFO)
library = logging.getLogger("lightning.pytorch.utilities.rank_zero")
library.setLevel(logging.INFO)  # as Lightning does when it is imported
warnings.filterwarnings("always")  # as others do
warnings.warn("library: deprecated", FutureWarning)
library.info("library: a tip")
library.warning("library: few workers")
library.error("library: broken")
logging.getLogger("extensions.cache").info("ours: a seed")
logging.getLogger("benchmark.execute.sweep").warning("ours: a doubt")
print(os.environ.get("TQDM_DISABLE"))
"""


def speak(**environment: str) -> tuple[str, list[str]]:
    known = {name: value for name, value in os.environ.items() if name not in {"TQDM_DISABLE", "WORKBENCH_DEBUG"}}
    command = [sys.executable, "-c", SPEAKERS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=known | environment)
    return done.stdout.strip(), done.stderr.splitlines()


def test_only_this_project_speaks_and_errors_of_all() -> None:
    out, err = speak()
    assert err == ["error: library: broken", "ours: a seed", "warning: ours: a doubt"]
    assert out == "1"  # no library draws a bar into a log


def test_debugging_shows_all() -> None:
    _, err = speak(WORKBENCH_DEBUG="1")
    told = "\n".join(err)
    for word in ("deprecated", "a tip", "few workers", "broken", "a seed", "a doubt"):
        assert word in told


@pytest.mark.parametrize(
    ("name", "level", "shown"),
    [
        ("timm.models", logging.WARNING, False),
        ("timm.models", logging.ERROR, True),
        ("inference.compare.comparison", logging.WARNING, True),
        ("extensionsx", logging.WARNING, False),
    ],
)
def test_a_record_is_shown_by_who_speaks(name: str, level: int, shown: bool) -> None:
    assert is_shown(logging.LogRecord(name, level, "", 0, "", None, None)) == shown
