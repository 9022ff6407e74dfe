"""The looks of our cells added to those of another workbook, whose own keep their numbers."""

from __future__ import annotations

from xml.dom.minidom import Element, parseString

from benchmark.report.into.package import adopted, child, children, new_element, root_of

FIRST_FORMAT = 164  # number formats below are built into spreadsheet programs
ORDER = ("numFmts", "fonts", "fills", "borders", "cellStyleXfs", "cellXfs", "cellStyles", "dxfs")
_PARTS = {"fontId": "fonts", "fillId": "fills", "borderId": "borders"}


def merged_styles(theirs: bytes, ours: bytes) -> tuple[bytes, list[int]]:
    """Their styles with ours added, and the number there of each of our cell formats.

    A look that is there already is used and not added, so that writing again adds nothing.
    """
    target, source = parseString(theirs), parseString(ours)
    to, of = root_of(target), root_of(source)
    maps = {name: [_place(_group(to, group), node) for node in _listed(of, group)] for name, group in _PARTS.items()}
    formats = _number_formats(to, of)
    cells = _group(to, "cellXfs")
    numbers = []
    for node in _listed(of, "cellXfs"):
        for name, places in maps.items():
            node.setAttribute(name, str(places[int(node.getAttribute(name) or 0)]))
        number = node.getAttribute("numFmtId") or "0"
        node.setAttribute("numFmtId", formats.get(number, number))
        node.setAttribute("xfId", "0")
        numbers.append(_place(cells, node))
    return target.toxml(encoding="UTF-8", standalone=True), numbers


def _number_formats(to: Element, of: Element) -> dict[str, str]:
    """The number there of each of our number formats."""
    ours = _listed(of, "numFmts")
    if not ours:
        return {}
    group = _group(to, "numFmts")
    known = {node.getAttribute("formatCode"): node.getAttribute("numFmtId") for node in children(group)}
    free = max([FIRST_FORMAT - 1, *(int(number) for number in known.values())]) + 1
    found = {}
    for node in ours:
        code = node.getAttribute("formatCode")
        if code not in known:
            known[code] = str(free)
            group.appendChild(new_element(group, "numFmt", {"numFmtId": str(free), "formatCode": code}))
            free += 1
        found[node.getAttribute("numFmtId")] = known[code]
    group.setAttribute("count", str(len(children(group))))
    return found


def _listed(root: Element, group: str) -> list[Element]:
    found = child(root, group)
    return [] if found is None else children(found)


def _group(root: Element, name: str) -> Element:
    """A list of looks, made at its place in the order of the schema where there is none."""
    found = child(root, name)
    if found is None:
        found = new_element(root, name, {"count": "0"})
        later = ORDER[ORDER.index(name) + 1 :]
        root.insertBefore(found, next((node for node in children(root) if node.localName in later), None))
    return found


def _place(group: Element, node: Element) -> int:
    """Where a look stands in a list, to which it is added unless it is there."""
    listed = children(group)
    said = _said(node)
    for place, other in enumerate(listed):
        if _said(other) == said:
            return place
    group.appendChild(adopted(node, group))
    group.setAttribute("count", str(len(listed) + 1))
    return len(listed)


def _said(node: Element) -> tuple:
    """What an element says, whatever its prefix and the order of its attributes."""
    return node.localName, sorted(node.attributes.items()), [_said(inner) for inner in children(node)]
