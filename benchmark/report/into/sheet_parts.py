"""Cells of a sheet as another workbook needs them: texts in the sheet itself, looks by their numbers there."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TEXT = re.compile(r'<c ([^>]*?)t="s"([^>]*)><v>(\d+)</v></c>')
_ITEM = re.compile(r"<si>(.*?)</si>", re.DOTALL)
_LOOK = re.compile(r'(<c [^>]*?s="|<row [^>]*?s="|<col [^>]*?style=")(\d+)(?=")')
_FORMULA = re.compile(rb"(<(?:\w+:)?f\b[^>]*?(?:/>|>([^<]*)</(?:\w+:)?f>))\s*<(?:\w+:)?v(?:/>|>[^<]*</(?:\w+:)?v>)")


def moved_sheet(sheet: bytes, *, strings: bytes, looks: Sequence[int]) -> bytes:
    """A sheet as XlsxWriter writes it, for another workbook.

    Args:
        sheet: Its part.
        strings: The shared strings of the workbook it comes from.
        looks: Where each of its cell formats stands in the other workbook.
    """
    items = _ITEM.findall(strings.decode("utf-8"))
    text = sheet.decode("utf-8").replace(' tabSelected="1"', "")  # of two chosen sheets both would change at once
    text = _LOOK.sub(lambda found: f"{found[1]}{looks[int(found[2])]}", text)
    return _TEXT.sub(lambda c: f'<c {c[1]}t="inlineStr"{c[2]}><is>{items[int(c[3])]}</is></c>', text).encode("utf-8")


def without_results(sheet: bytes) -> bytes:
    """A sheet whose formulas have no results, so that every program works them out on opening."""
    return _FORMULA.sub(rb"\1", sheet)


def formulas(sheet: bytes) -> list[str]:
    """The formulas of a sheet, as they are written in XML."""
    return [found[1].decode("utf-8") for found in _FORMULA.findall(sheet)]


def empty_sheet(sentence: str) -> bytes:
    """A sheet with one sentence."""
    cells = f'<row r="1"><c r="A1" t="inlineStr"><is><t>{sentence}</t></is></c></row>'
    start = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<worksheet xmlns='
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'{start}"{main}"><sheetData>{cells}</sheetData></worksheet>'.encode()
