"""`record.json`: read and valid, or told in a sentence why not; written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from benchmark.records.record import Record
from benchmark.records.run_files import RECORD, write_json
from benchmark.records.section import Section
from benchmark.records.sweep_plan import SweepPlan

S = TypeVar("S", bound=Section)


class RecordError(ValueError):
    """A file that cannot be taken as it is: the rest of a sentence that begins with its name."""


def read_record(path: Path, output: Path) -> Record:
    """The record in a file.

    Args:
        path: Of `record.json`.
        output: Folder that `Record.folder` is relative to.

    Raises:
        RecordError: It cannot be read, or lacks what every record has.
    """
    return _read(path, Record).model_copy(update={"folder": path.parent.relative_to(output)})


def write_record(folder: Path, record: Record) -> None:
    """Write `record.json` into a folder.

    Raises:
        DiskFullError: There is no room for it; what was there before is untouched.
    """
    write_json(folder / RECORD, record.on_disk())


def read_plan(path: Path) -> SweepPlan:
    """The plan in a file.

    Raises:
        RecordError: As `read_record`.
    """
    return _read(path, SweepPlan)


def parse(text: bytes, kind: type[S]) -> S:
    """A record, or what else has the form of a section, from its JSON.

    Raises:
        RecordError: As `read_record`.
    """
    try:
        content = json.loads(text.decode("utf-8"))
    except ValueError as error:
        raise RecordError(_unreadable(error)) from error
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        names = dict.fromkeys(".".join(map(str, fault["loc"])) or "fields" for fault in error.errors())
        msg = f"is left out: it has no {', '.join(names)} of the expected kind"
        raise RecordError(msg) from error


def _read(path: Path, kind: type[S]) -> S:
    try:
        return parse(path.read_bytes(), kind)
    except OSError as error:
        raise RecordError(_unreadable(error)) from error


def _unreadable(error: Exception) -> str:
    return f"cannot be read and is left out: {' '.join(str(error).split())}"
