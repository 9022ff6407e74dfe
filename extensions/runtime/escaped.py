r"""Names of files as they may be written and printed anywhere.

A file name is bytes, and need not be UTF-8 (an archive made under Windows); Python then holds surrogate escapes, which
no encoding takes. A name may also hold line breaks and other control characters.
"""

import codecs
import hashlib
import sys
from pathlib import PurePath
from typing import Any

HANDLER = "workbench.escaped"  # of what an encoding cannot express, as `errors` of `str.encode` and of streams
FORMULA = ("=", "+", "-", "@", "'", "\t", "\r", "\n", " ")  # a spreadsheet would run, reckon or trim what begins so
MAX_BYTES = 200  # of one part of a path; file systems take 255, and temporary names are longer
_BYTE = range(0xDC80, 0xDD00)  # how Python holds a byte of a name that is not UTF-8
_TURNING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029}  # they change how the rest is read


def escaped(name: str | PurePath) -> str:
    r"""A name on one line: each byte that is not UTF-8, and each control character, is written as Python writes it.

    >>> escaped("Stra\udcdfe\n.png")
    'Stra\\xdfe\\n.png'
    """
    return "".join(repr(c)[1:-1] if _is_control(c) else c for c in writable(str(name)))


def writable(text: str) -> str:
    """A text that UTF-8 takes: of names in it the bytes that are not UTF-8 are escaped, all else stays."""
    return text.encode("utf-8", HANDLER).decode("utf-8")


def writable_content(content: Any) -> Any:
    """`writable` of all texts in plain data: what JSON holds."""
    if isinstance(content, str):
        return writable(content)
    if isinstance(content, dict):
        return {writable_content(key): writable_content(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [writable_content(value) for value in content]
    return content


def is_utf8(name: str | PurePath) -> bool:
    """Whether a name can be written as it is."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        return False
    return True


def spreadsheet_name(name: str) -> str:
    """The escaped name for a cell of a CSV: what a program would take for a formula gets ``./``, the same file."""
    text = escaped(name)
    return f"./{text}" if text.startswith(FORMULA) else text


def file_name(name: str) -> str:
    """A relative path, forward slashes, as a name for a new file: escaped, and no part of it too long.

    A part that is cut ends in a hash of the whole, so that no two become one.
    """
    return "/".join(_fitting(part) for part in escaped(name).split("/"))


def print_anything() -> None:
    """Let standard output and error take every text: what their encoding cannot express is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what a notebook or a test puts in their place has no encoding to fail
            stream.reconfigure(errors=HANDLER)


def _fitting(part: str) -> str:
    content = part.encode()
    if len(content) <= MAX_BYTES:
        return part
    return f"{content[: MAX_BYTES - 13].decode(errors='ignore')}-{hashlib.sha256(content).hexdigest()[:12]}"


def _is_control(character: str) -> bool:
    code = ord(character)
    return code < 0x20 or 0x7F <= code < 0xA0 or code in _TURNING


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""As `backslashreplace`, but a byte that Python could not decode is written as that byte: `\xdf`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    parts = (
        rf"\x{ord(c) - 0xDC00:02x}" if ord(c) in _BYTE else c.encode("ascii", "backslashreplace").decode()
        for c in found
    )
    return "".join(parts), error.end


codecs.register_error(HANDLER, _escape)
