"""Records on disk: the path is the key, a folder is there whole or not at all, two sweeps may share it."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from extensions.runtime.disk import room_for
from extensions.runtime.escaped import writable, writable_content

RECORD = "record.json"
SCORES = "scores.csv"
CHECKPOINT = "model.ckpt"
KEEP = "keep"
"""Name of the lock under which committed runs are changed."""
MAX_NAME = 80  # characters of a folder: file systems allow 255 bytes


@dataclass(frozen=True)
class Store:
    """The output folder of a sweep.

    Layout: `runs/<dataset>/<category or all>/<Model>-<backbone>/<key>/record.json`, beside it `scores.csv` and, if
    kept, `model.ckpt` and `images/`. Work in progress lies in `.work/` and is moved into place in one rename.
    """

    output: Path

    def folder(self, *, dataset: str, category: str, model: str, backbone: str, key: str) -> Path:
        """Where the run with this key lives; every part is made safe as a file name."""
        kind = f"{model}-{backbone}" if backbone else model
        return self.output / "runs" / _safe(dataset) / _safe(category or "all") / _safe(kind) / key

    def read(self, folder: Path) -> dict[str, Any] | None:
        """The record in a run's folder, or None when there is none or it cannot be used."""
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        whole = isinstance(record, dict) and record.get("key") == folder.name and isinstance(record.get("status"), str)
        return record if whole else None

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A private folder for one run's files, removed afterwards; `commit` moves it into place before."""
        parent = self.output / ".work"
        with room_for(parent):
            parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.output / ".locks" / "sweeping", timeout=60):
                self._sweep_leftovers(parent)
                folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent))
                alive = FileLock(folder.with_suffix(".alive"))
                alive.acquire()
            run = folder / "run"
            run.mkdir()
        try:
            yield run
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            alive.release()
            folder.with_suffix(".alive").unlink(missing_ok=True)

    def commit(self, workspace: Path, folder: Path, record: dict[str, Any]) -> Path:
        """Write the record into the workspace and move the workspace to its place, replacing what was there."""
        write_json(workspace / RECORD, record)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with self.lock(KEEP):  # not between the reading and the writing of whoever prunes checkpoints
            if folder.exists():
                folder.rename(workspace.with_name("previous"))
            workspace.rename(folder)
        return folder / RECORD

    @contextmanager
    def lock(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold a named lock of this folder; yields False when `wait` is off and another process holds it.

        The operating system frees the lock of a process that dies, so a killed sweep blocks nobody.
        """
        lock = FileLock(self.output / ".locks" / f"{name}.lock")
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def records(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Every readable record with its folder, in a stable order."""
        for path in sorted((self.output / "runs").glob(f"*/*/*/*/{RECORD}")):
            record = self.read(path.parent)
            if record is not None:
                yield path.parent, record

    @staticmethod
    def _sweep_leftovers(parent: Path) -> None:
        """Remove what killed processes left behind; a living one holds the lock beside its folder."""
        for folder in parent.iterdir():
            if not folder.is_dir():
                continue
            try:
                with FileLock(folder.with_suffix(".alive"), timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
            except Timeout:
                continue
            folder.with_suffix(".alive").unlink(missing_ok=True)


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
        _write(path, content)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _safe(name: str) -> str:
    """A name as a folder: letters, digits and `.+-=_` stay, the rest becomes `_`."""
    cleaned = re.sub(r"[^\w.+=-]", "_", name)
    return cleaned[:MAX_NAME] if cleaned.strip(".") else "_"
