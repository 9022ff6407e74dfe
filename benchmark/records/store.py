"""Records on disk: the path is the key, a folder is there whole or not at all, two sweeps may share it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from benchmark.records.packed import packed_records
from benchmark.records.record import Record
from benchmark.records.record_file import RecordError, read_record, write_record
from benchmark.records.run_files import RECORD
from extensions.runtime.disk import room_for

KEEP = "keep"
"""Name of the lock under which committed runs are changed."""


@dataclass(frozen=True)
class Store:
    """The output folder of a sweep.

    Layout: `runs/<dataset>/<category or all>/<Model>-<backbone>/<key>/record.json`, beside it `scores.csv` and, if
    kept, `model.ckpt` and `images/`. Work in progress lies in `.work/` and is moved into place in one rename.
    """

    output: Path

    def read(self, folder: Path) -> Record | None:
        """The record of a run, by its folder relative to this one; None when there is none or it cannot be used.

        A run that was packed has none of its own, see `benchmark.records.packed`.
        """
        with suppress(RecordError):
            record = read_record(self.output / folder / RECORD, self.output)
            if record.key == folder.name:
                return record
        return next((one for one in packed_records(self.output)[0] if one.folder == folder), None)

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

    def commit(self, workspace: Path, record: Record) -> None:
        """Write the record into the workspace and move that to the record's folder, replacing what was there."""
        write_record(workspace, record)
        folder = self.output / record.folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with self.lock(KEEP):  # not between the reading and the writing of whoever prunes checkpoints
            if folder.exists():
                folder.rename(workspace.with_name("previous"))
            workspace.rename(folder)

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
