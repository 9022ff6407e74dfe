"""A name of a file can always be written and printed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from extensions.runtime.escaped import escaped, file_name, is_utf8, spreadsheet_name, writable, writable_content

LATIN1 = os.fsdecode(b"Stra\xdfe.png")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (LATIN1, r"Stra\xdfe.png"),
        ("Straße.png", "Straße.png"),
        ("a\nb\x1b[31m.png", r"a\nb\x1b[31m.png"),
        ("right\u202eleft.png", r"right\u202eleft.png"),
        ("plain name, with (all) else.png", "plain name, with (all) else.png"),
        ("\ud800", r"\ud800"),
    ],
)
def test_a_name_stands_on_one_line_and_can_be_encoded(name: str, written: str) -> None:
    assert escaped(name) == written
    assert escaped(Path(name)) == written
    assert written.encode()


def test_only_what_cannot_be_encoded_changes_in_a_text() -> None:
    assert writable(f"first\n\tsecond {LATIN1}") == "first\n\tsecond Stra\\xdfe.png"
    content = {LATIN1: [LATIN1, 1, None, {"a": (LATIN1,)}]}
    assert json.loads(json.dumps(writable_content(content), ensure_ascii=False).encode()) == {
        "Stra\\xdfe.png": ["Stra\\xdfe.png", 1, None, {"a": ["Stra\\xdfe.png"]}]
    }
    assert is_utf8("Straße.png")
    assert not is_utf8(Path(LATIN1))


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@a.png", " a.png"])
def test_a_spreadsheet_runs_no_name(name: str) -> None:
    assert spreadsheet_name(name) == f"./{name}"
    assert spreadsheet_name(f"bad/{name}") == f"bad/{name}"


def test_long_names_fit_and_stay_apart() -> None:
    long = "ü" * 127
    first, second = file_name(f"bad/{long}a.png"), file_name(f"bad/{long}b.png")
    assert first != second
    assert first.startswith("bad/üüü")
    assert all(len(part.encode()) <= 200 for part in first.split("/"))
    assert file_name("bad/000.png") == "bad/000.png"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_terminal_of_any_encoding_takes_every_text(encoding: str) -> None:
    program = (
        "from extensions.runtime.escaped import print_anything; import os; print_anything(); "
        "print('… ' + os.fsdecode(b'Stra\\xdfe'))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    expected = "… Stra\\xdfe\n" if encoding == "utf-8" else "\\u2026 Stra\\xdfe\n"
    assert done.stdout.decode("utf-8") == expected


def test_a_stream_without_an_encoding_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from extensions.runtime.escaped import print_anything

    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    print_anything()
    assert sys.stdout is stream
