"""Our sheets put into the package of another workbook: only their parts change, and what lists them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from xml.dom.minidom import Element
from xml.sax.saxutils import escape

from benchmark.report.into.package import CONTENT_TYPES, Package, children, new_element, relations_part, root_of
from benchmark.report.into.sheet_parts import empty_sheet, formulas, moved_sheet, without_results
from benchmark.report.into.styles import merged_styles
from benchmark.report.into.workbook_part import Sheet, WorkbookPart
from benchmark.report.xlsx.book import MARK

STALE = "Nothing to list: the tables have no such sheet any more."
_STYLES, _STRINGS = "xl/styles.xml", "xl/sharedStrings.xml"  # where XlsxWriter puts them
_SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"


def merge(target: Package, ours: Package) -> None:
    """Write or refresh our sheets in `target`; those that are new come behind all others, the others keep their place.

    Every other part keeps its bytes, but for the list of sheets and names, the list of looks, to which ours are added,
    and the list of parts. Where a formula of another sheet refers to one of ours, the results of that workbook's
    formulas are left out, because LibreOffice would go on showing them; every program works them out on opening.

    Args:
        target: Of a workbook, none of whose sheets has the name of one of ours without being ours.
        ours: As `write_xlsx` writes it.
    """
    book, source = WorkbookPart(target), WorkbookPart(ours)
    there, wanted = list(book.sheets()), list(source.sheets())
    old = [sheet for sheet in there if sheet.is_ours]
    _drop_results(target, book, [sheet for sheet in there if not sheet.is_ours], [sheet.name for sheet in wanted])
    before = target.reachable([""])
    target.remove(before - target.reachable([""], without=[sheet.part for sheet in old]))
    looks = _add_looks(target, book, ours)
    parts = _moved_parts(target, ours, wanted, looks)
    hidden = {entry.getAttribute("name") for entry in source.root.getElementsByTagNameNS("*", "sheet")
              if entry.getAttribute("state")}  # fmt: skip
    at = {sheet.name.lower(): sheet for sheet in old}
    places = {}
    for sheet in wanted:
        found = at.get(sheet.name.lower())
        if found is None:
            found = book.append(sheet.name, parts[sheet.part], hidden=sheet.name in hidden)
        else:
            book.point(found, parts[sheet.part])
        places[sheet.place] = found.place
    names = [(name, places[place], reference) for name, place, reference in source.own_names()]
    for sheet in old:
        if sheet.place not in places.values():
            names.append((MARK, sheet.place, f'"{sheet.name}"'))
            book.point(sheet, _stale(target, sheet))
    book.set_own_names([sheet.place for sheet in old], names)
    book.calculate_on_opening()
    book.save()


def _drop_results(target: Package, book: WorkbookPart, others: Iterable[Sheet], ours: Iterable[str]) -> None:
    names = "|".join(re.escape(escape(name.replace("'", "''"))) for name in ours)
    refers = re.compile(rf"(?:^|\W)(?:{names})(?:'|&apos;)?!", re.IGNORECASE)
    found = {sheet.part: formulas(target.parts[sheet.part]) for sheet in others if sheet.part in target.parts}
    if any(map(refers.search, [*book.names(), *(formula for listed in found.values() for formula in listed)])):
        for part in (part for part, listed in found.items() if listed):
            target.parts[part] = without_results(target.parts[part])


def _add_looks(target: Package, book: WorkbookPart, ours: Package) -> list[int]:
    """Add our cell formats; where each of them stands there."""
    styles = next((one.target for one in target.relations(book.name) if one.kind == "styles"), None)
    if styles is None:
        msg = "it has no list of cell formats"
        raise ValueError(msg)
    target.parts[styles], looks = merged_styles(target.parts[styles], ours.parts[_STYLES])
    return looks


def _moved_parts(target: Package, ours: Package, sheets: Iterable[Sheet], looks: list[int]) -> dict[str, str]:
    """Put the parts of our sheets into `target`, under names that are free there; old name to new."""
    sheet_parts = {sheet.part for sheet in sheets}
    moving = [part for part in ours.parts if part in ours.reachable(sheet_parts)]
    prefix = _free_prefix(target)
    new = {part: posixpath.join(posixpath.dirname(part), prefix + posixpath.basename(part)) for part in moving}
    for part, name in new.items():
        content = ours.parts[part]
        if part in sheet_parts:
            content = moved_sheet(content, strings=ours.parts.get(_STRINGS, b""), looks=looks)
        target.parts[name] = content
        if relations_part(part) in ours.parts:
            links = ours.xml(relations_part(part))
            by_id = {one.id: one for one in ours.relations(part)}
            for entry in children(root_of(links)):
                relation = by_id[entry.getAttribute("Id")]
                if not relation.external:
                    entry.setAttribute("Target", f"/{new[relation.target]}")
            target.put(relations_part(name), links)
    _add_types(target, ours, new)
    return new


def _free_prefix(target: Package) -> str:
    taken = {posixpath.basename(part) for part in target.parts}
    number = 1
    while any(name.startswith(f"workbench{number}_") for name in taken):
        number += 1
    return f"workbench{number}_"


def _add_types(target: Package, ours: Package, new: dict[str, str]) -> None:
    """Say of each new part what it is."""
    types, source = target.xml(CONTENT_TYPES), ours.xml(CONTENT_TYPES)
    root = root_of(types)
    by_part, by_suffix = _types(root_of(source))
    _, known = _types(root)
    for part, name in new.items():
        suffix = part.rpartition(".")[2].lower()
        kind = by_part.get(part) or by_suffix.get(suffix, "")
        if part not in by_part and suffix not in known:
            known[suffix] = kind
            before = root.firstChild
            root.insertBefore(new_element(root, "Default", {"Extension": suffix, "ContentType": kind}), before)
        elif part in by_part or known[suffix] != kind:
            root.appendChild(new_element(root, "Override", {"PartName": f"/{name}", "ContentType": kind}))
    target.put(CONTENT_TYPES, types)


def _types(root: Element) -> tuple[dict[str, str], dict[str, str]]:
    by_part, by_suffix = {}, {}
    for entry in children(root):
        kind = entry.getAttribute("ContentType")
        if entry.localName == "Override":
            by_part[entry.getAttribute("PartName").lstrip("/")] = kind
        else:
            by_suffix[entry.getAttribute("Extension").lower()] = kind
    return by_part, by_suffix


def _stale(target: Package, sheet: Sheet) -> str:
    """A sheet that says that there is nothing any more, so that formulas which refer to it stay whole."""
    part = f"xl/worksheets/{_free_prefix(target)}stale{sheet.place}.xml"
    target.parts[part] = empty_sheet(STALE)
    types = target.xml(CONTENT_TYPES)
    root = root_of(types)
    root.appendChild(new_element(root, "Override", {"PartName": f"/{part}", "ContentType": _SHEET_TYPE}))
    target.put(CONTENT_TYPES, types)
    return part
