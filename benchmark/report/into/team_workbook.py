"""`table --into`: our sheets written or refreshed in a workbook that a team works in, or a sentence and nothing."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.parsers.expat import ExpatError

from benchmark.report.into.merge import merge
from benchmark.report.into.package import MAIN, Package, child, children, root_of
from benchmark.report.into.team_cells import read_team_columns
from benchmark.report.into.workbook_part import Sheet, WorkbookPart
from benchmark.report.locks import ReportError, check_closed
from benchmark.report.team_columns import KEYED, TeamColumns
from benchmark.report.xlsx.book import write_xlsx
from benchmark.tables.leaderboard import Frames
from extensions.runtime.atomic_write import write_whole

SUFFIXES = (".xlsx", ".xlsm")
WITH_DRAWINGS = ("Decision", "Gallery", "Chart")
_OURS = ("vmlDrawing", "comments", "drawing", "hyperlink", "printerSettings")
_OLE = bytes.fromhex("D0CF11E0A1B11AE1")


def write_into(tables: Frames, path: Path, output: Path) -> None:
    """Write our sheets into a workbook, a new one where there is none; everything else in it stays, see `merge`.

    Columns from `Comment` on in Leaderboard and Runs are the team's and stay with their rows, see `team_columns`.

    Args:
        tables: What to show.
        path: The workbook, .xlsx or .xlsm.
        output: Folder of the records, to which cells link.

    Raises:
        ReportError: The workbook is open, protected, damaged, no such workbook, or has something of the team's where
            ours is written. Nothing was changed.
        OSError: It could not be written; what was there stays.
    """
    if path.suffix.lower() not in SUFFIXES:
        msg = f"{path}: expected a workbook {' or '.join(SUFFIXES)}; give one, or save yours as such a one"
        raise ReportError(msg)
    try:
        check_closed(path)
    except ReportError as error:
        msg = f"{path}: {error}, so nothing was changed"
        raise ReportError(msg) from error
    path = path.resolve()  # the file stays where a link to it points
    found = _content(path)
    target = None if found is None else _readable(path, found)
    team = {} if target is None else _checked(path, target)
    ours = _our_book(tables, links=Path(os.path.relpath(output.resolve(), path.parent)).as_posix(), team=team)
    if target is None:
        write_whole(path, ours)
        return
    added = Package.read(ours)
    _check_names(path, target, [sheet.name for sheet in WorkbookPart(added).sheets()])
    try:
        merge(target, added)
    except (KeyError, StopIteration, ValueError, ExpatError) as error:
        raise ReportError(_damaged(path, error)) from error
    if _content(path) != found:
        msg = f"{path}: it was saved by another program just now, so nothing was written; try again"
        raise ReportError(msg)
    mode = path.stat().st_mode
    write_whole(path, target.to_bytes())
    path.chmod(mode)


def _content(path: Path) -> bytes | None:
    if path.is_dir():
        msg = f"{path}: it is a folder; expected a workbook"
        raise ReportError(msg)
    if not path.exists():
        return None
    if not path.stat().st_mode & 0o222:
        msg = f"{path}: it is read-only, so nothing was changed; make it writable or give another workbook"
        raise ReportError(msg)
    return path.read_bytes()


def _readable(path: Path, content: bytes) -> Package:
    if content.startswith(_OLE):
        msg = (
            f"{path}: it is protected by a password, or in the format of Excel 97, so nothing was changed; "
            "save it as a workbook (.xlsx) without a password"
        )
        raise ReportError(msg)
    try:
        package = Package.read(content)
        book = WorkbookPart(package)
        list(book.sheets())
    except (
        zipfile.BadZipFile,
        EOFError,
        KeyError,
        StopIteration,
        ValueError,
        ExpatError,
        NotImplementedError,
    ) as error:
        raise ReportError(_damaged(path, error)) from error
    if book.root.namespaceURI != MAIN:
        msg = f"{path}: expected a workbook as Excel and LibreOffice write it by default (not Strict Open XML)"
        raise ReportError(msg)
    return package


def _damaged(path: Path, error: Exception) -> str:
    return (
        f"{path}: it is damaged or no workbook ({type(error).__name__}: {error}), so nothing was changed; open it in a "
        "spreadsheet program and save it as .xlsx, or give another file"
    )


def _checked(path: Path, package: Package) -> dict[str, TeamColumns]:
    """What the team wrote in our sheets; an error where that, or a protection, is in the way."""
    book = WorkbookPart(package)
    protection = child(book.root, "workbookProtection")
    if protection is not None and protection.getAttribute("lockStructure") in ("1", "true"):
        msg = f"{path}: its structure is protected, so nothing was changed; unprotect the workbook (Excel: Review)"
        raise ReportError(msg)
    sharing = child(book.root, "fileSharing")
    if sharing is not None and (sharing.hasAttribute("reservationPassword") or sharing.hasAttribute("hashValue")):
        msg = f"{path}: it is protected against changes, so nothing was changed; save it without a password"
        raise ReportError(msg)
    if any(part.startswith("_xmlsignatures/") for part in package.parts):
        msg = f"{path}: it is signed, and a change would break the signature; save it without one"
        raise ReportError(msg)
    ours = [sheet for sheet in book.sheets() if sheet.is_ours]
    for sheet in ours:
        _check_sheet(path, package, sheet)
    keyed = [sheet.name for sheet in ours if sheet.name in KEYED]
    return {name: read_team_columns(path, name) for name in keyed}


def _check_sheet(path: Path, package: Package, sheet: Sheet) -> None:
    """Whether a sheet of ours holds something of the team's that would be lost."""
    root = root_of(package.xml(sheet.part))
    protection = child(root, "sheetProtection")
    if protection is not None and protection.getAttribute("sheet") in ("1", "true"):
        msg = f"{path}: its sheet {sheet.name} is protected, so nothing was changed; unprotect the sheet"
        raise ReportError(msg)
    found = [one.kind for one in package.relations(sheet.part) if one.kind not in _OURS]
    drawings = [one.target for one in package.relations(sheet.part) if one.kind == "drawing"]
    if not sheet.name.startswith(WITH_DRAWINGS) and any(children(root_of(package.xml(one))) for one in drawings):
        found.append("drawing")  # LibreOffice gives an empty one to any sheet
    for part in (one.target for one in package.relations(sheet.part) if one.kind == "comments"):
        notes = [node.getAttribute("ref") for node in package.xml(part).getElementsByTagNameNS("*", "comment")]
        found += [f"note in {cell}" for cell in notes if cell.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "1"]
    if found:
        msg = (
            f"{path}: its sheet {sheet.name}, which would be written anew, holds a {found[0]} of yours, so nothing was "
            f"changed; move it to a sheet of your own (a note: into the column Comment of {' or '.join(KEYED)})"
        )
        raise ReportError(msg)


def _check_names(path: Path, package: Package, names: Sequence[str]) -> None:
    taken = {name.lower() for name in names}
    for sheet in WorkbookPart(package).sheets():
        if sheet.name.lower() in taken and not sheet.is_ours:
            msg = (
                f"{path}: it has a sheet {sheet.name} of its own, where ours would be written, so nothing was changed; "
                "rename that sheet"
            )
            raise ReportError(msg)


def _our_book(tables: Frames, *, links: str, team: Mapping[str, TeamColumns]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ours.xlsx"
        write_xlsx(tables, path, links=links, team=team)
        return path.read_bytes()
