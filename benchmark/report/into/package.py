"""A spreadsheet file as what it is: a zip of parts that name each other (ECMA-376, Open Packaging Conventions)."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote
from xml.dom.minidom import Document, Element, parseString

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
CONTENT_TYPES = "[Content_Types].xml"


@dataclass(frozen=True)
class Relation:
    """What a part names: id, the last word of its type, and the part, or where it is `external` an address."""

    id: str
    kind: str
    target: str
    external: bool


class Package:
    """Parts by name, in the order of the file."""

    def __init__(self, parts: dict[str, bytes]) -> None:
        self.parts = parts

    @classmethod
    def read(cls, content: bytes) -> Package:
        """Read a file.

        Raises:
            zipfile.BadZipFile: It is none, or is damaged.
        """
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            return cls({name: file.read(name) for name in file.namelist() if not name.endswith("/")})

    def to_bytes(self) -> bytes:
        """The file; equal parts give equal bytes."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
            for name, part in self.parts.items():
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                file.writestr(entry, part)
        return content.getvalue()

    def xml(self, name: str) -> Document:
        """A part as a document that keeps prefixes and attributes as they are written."""
        return parseString(self.parts[name])

    def put(self, name: str, document: Document) -> None:
        """Write a document into a part."""
        self.parts[name] = document.toxml(encoding="UTF-8", standalone=True)

    def relations(self, part: str) -> list[Relation]:
        """What a part names; the file itself is the part ``""``."""
        name = relations_part(part)
        if name not in self.parts:
            return []
        found = []
        for entry in self.xml(name).getElementsByTagNameNS("*", "Relationship"):
            target, external = entry.getAttribute("Target"), entry.getAttribute("TargetMode") == "External"
            if not external:
                target = posixpath.normpath(posixpath.join("/", posixpath.dirname(part), unquote(target))).lstrip("/")
            kind = entry.getAttribute("Type").rpartition("/")[2]
            found.append(Relation(entry.getAttribute("Id"), kind, target, external))
        return found

    def reachable(self, roots: Iterable[str], *, without: Iterable[str] = ()) -> set[str]:
        """Parts that these name, and those that they name in turn, themselves included; none by way of `without`."""
        seen, waiting = set(without), [root for root in roots if root not in set(without)]
        found: set[str] = set()
        while waiting:
            part = waiting.pop()
            if part in seen:
                continue
            seen.add(part)
            found |= {part} & (self.parts.keys() | {""})
            waiting += [relation.target for relation in self.relations(part) if not relation.external]
        return found

    def remove(self, names: Iterable[str]) -> None:
        """Remove parts, what they name them by, and their types."""
        gone = set(names)
        for name in gone:
            self.parts.pop(name, None)
            self.parts.pop(relations_part(name), None)
        types = self.xml(CONTENT_TYPES)
        for entry in list(types.getElementsByTagNameNS("*", "Override")):
            if entry.getAttribute("PartName").lstrip("/") in gone:
                root_of(types).removeChild(entry)
        self.put(CONTENT_TYPES, types)


def relations_part(part: str) -> str:
    """Name of the part that says what a part names."""
    folder, name = posixpath.split(part)
    return posixpath.join(folder, "_rels", f"{name}.rels")


def root_of(document: Document) -> Element:
    """The outermost element.

    Raises:
        ValueError: There is none.
    """
    if document.documentElement is None:
        msg = "a part is empty"
        raise ValueError(msg)
    return document.documentElement


def child(parent: Element, name: str) -> Element | None:
    """The first child of this name, whatever its prefix."""
    return next((node for node in children(parent) if node.localName == name), None)


def children(parent: Element) -> list[Element]:
    """All children that are elements."""
    return [node for node in parent.childNodes if node.nodeType == node.ELEMENT_NODE]


def new_element(parent: Element, name: str, attributes: dict[str, str] | None = None) -> Element:
    """A new element with the prefix of `parent`; it has no place yet."""
    tag = f"{parent.prefix}:{name}" if parent.prefix else name
    found = Document().createElementNS(parent.namespaceURI, tag)
    for key, value in (attributes or {}).items():
        found.setAttribute(key, value)
    return found


def adopted(node: Element, parent: Element) -> Element:
    """A copy of an element of another document, with the prefix of `parent`."""
    copy = new_element(parent, node.localName, dict(node.attributes.items()))
    for inner in node.childNodes:
        if inner.nodeType == inner.ELEMENT_NODE:
            copy.appendChild(adopted(inner, parent))
        elif inner.nodeType == inner.TEXT_NODE:
            copy.appendChild(Document().createTextNode(inner.data))
    return copy
