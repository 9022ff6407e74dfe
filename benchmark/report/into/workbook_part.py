"""The part of a workbook that lists its sheets and names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.dom.minidom import Element

from benchmark.report.into.package import RELATIONS, Package, child, children, new_element, relations_part, root_of
from benchmark.report.xlsx.book import MARK

OWN_NAMES = (MARK, "_xlnm.Print_Area", "_xlnm.Print_Titles", "_xlnm._FilterDatabase")
"""Names of a sheet that are written with it."""
_AFTER_NAMES = ("calcPr", "oleSize", "customWorkbookViews", "pivotCaches", "smartTagPr", "smartTagTypes",
                "webPublishing", "fileRecoveryPr", "webPublishObjects", "extLst")  # fmt: skip
_SHEET_TYPE = f"{RELATIONS}/worksheet"


@dataclass(frozen=True)
class Sheet:
    """A sheet: its name, its part, its place from 0, and whether it says to be ours."""

    name: str
    part: str
    place: int
    is_ours: bool


class WorkbookPart:
    """Reads and changes the list; `save` writes it back."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self.name = next(one.target for one in package.relations("") if one.kind == "officeDocument")
        self._document = package.xml(self.name)
        self._links = package.xml(relations_part(self.name))
        self.root = root_of(self._document)

    def sheets(self) -> Iterator[Sheet]:
        """In their order."""
        parts = {one.id: one.target for one in self.package.relations(self.name)}
        marks = {
            int(entry.getAttribute("localSheetId")): _text(entry).strip('"')
            for entry in self._names()
            if entry.getAttribute("name") == MARK and entry.getAttribute("localSheetId")
        }
        for place, entry in enumerate(self._sheets()):
            name = entry.getAttribute("name")
            link = entry.getAttributeNS(RELATIONS, "id")
            yield Sheet(name, parts.get(link, ""), place, marks.get(place) == name)

    def names(self) -> list[str]:
        """What defined names refer to."""
        return [_text(entry) for entry in self._names() if entry.getAttribute("name") not in OWN_NAMES]

    def point(self, sheet: Sheet, part: str) -> None:
        """Let a sheet be another part."""
        link = self._sheets()[sheet.place].getAttributeNS(RELATIONS, "id")
        for entry in self._relationships():
            if entry.getAttribute("Id") == link:
                entry.setAttribute("Target", f"/{part}")

    def append(self, name: str, part: str, *, hidden: bool) -> Sheet:
        """Add a sheet behind all others."""
        listed = self._sheets()
        ids = {entry.getAttribute("Id") for entry in self._relationships()}
        link = next(f"rId{number}" for number in range(1, len(ids) + 2) if f"rId{number}" not in ids)
        root = root_of(self._links)
        wanted = {"Id": link, "Type": _SHEET_TYPE, "Target": f"/{part}"}
        root.appendChild(new_element(root, "Relationship", wanted))
        number = 1 + max((int(entry.getAttribute("sheetId")) for entry in listed), default=0)
        parent = child(self.root, "sheets")
        if parent is None:
            msg = "no list of sheets"
            raise ValueError(msg)
        entry = new_element(parent, "sheet", {"xmlns:r": RELATIONS, "name": name, "sheetId": str(number)})
        if hidden:
            entry.setAttribute("state", "hidden")
        entry.setAttributeNS(RELATIONS, "r:id", link)
        parent.appendChild(entry)
        return Sheet(name, part, len(listed), True)

    def set_own_names(self, places: Iterable[int], names: Iterable[tuple[str, int, str]]) -> None:
        """Replace the names that are written with our sheets, at these places, by others: name, place, reference."""
        ours = {str(place) for place in places}
        for entry in self._names():
            if entry.getAttribute("localSheetId") in ours and entry.getAttribute("name") in OWN_NAMES:
                self._made("definedNames").removeChild(entry)
        parent = self._made("definedNames")
        for name, place, reference in names:
            entry = new_element(parent, "definedName", {"name": name, "localSheetId": str(place)})
            if name in (MARK, "_xlnm._FilterDatabase"):
                entry.setAttribute("hidden", "1")
            entry.appendChild(self._document.createTextNode(reference))
            parent.appendChild(entry)

    def own_names(self) -> list[tuple[str, int, str]]:
        """Such names: name, place of the sheet, reference."""
        return [
            (entry.getAttribute("name"), int(entry.getAttribute("localSheetId")), _text(entry))
            for entry in self._names()
            if entry.getAttribute("localSheetId") and entry.getAttribute("name") in OWN_NAMES
        ]

    def calculate_on_opening(self) -> None:
        """All formulas are worked out again, and no list of them is kept."""
        self._made("calcPr").setAttribute("fullCalcOnLoad", "1")
        chains = [one for one in self.package.relations(self.name) if one.kind == "calcChain"]
        for entry in self._relationships():
            if entry.getAttribute("Id") in {one.id for one in chains}:
                root_of(self._links).removeChild(entry)
        if chains:
            self.package.remove(one.target for one in chains)

    def save(self) -> None:
        """Write the list and what it names."""
        self.package.put(self.name, self._document)
        self.package.put(relations_part(self.name), self._links)

    def _sheets(self) -> list[Element]:
        parent = child(self.root, "sheets")
        return [] if parent is None else children(parent)

    def _names(self) -> list[Element]:
        parent = child(self.root, "definedNames")
        return [] if parent is None else children(parent)

    def _relationships(self) -> list[Element]:
        return children(root_of(self._links))

    def _made(self, name: str) -> Element:
        """A child of the workbook, made at its place in the order of the schema where there is none."""
        found = child(self.root, name)
        if found is None:
            found = new_element(self.root, name)
            later = _AFTER_NAMES if name == "definedNames" else _AFTER_NAMES[1:]
            before = next((node for node in children(self.root) if node.localName in later), None)
            self.root.insertBefore(found, before)
        return found


def _text(entry: Element) -> str:
    return "".join(node.data for node in entry.childNodes if node.nodeType == node.TEXT_NODE)
