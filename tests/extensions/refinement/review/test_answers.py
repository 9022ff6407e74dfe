from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from extensions.refinement.review.answers import ReviewError, read_review

NAMES = ("train/good/a.png", "train/good/b.png", "train/good/c d, Prüfling.png")
HEADER = "image,score,removed_in_round,injected,keep\n"


def review(folder: Path, content: str | bytes, names: tuple[str, ...] = NAMES) -> dict[str, bool]:
    path = folder / "suspects.csv"
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return read_review(path, names)


def message(folder: Path, content: str | bytes) -> str:
    """The sentence about a file, which names it and ends there."""
    with pytest.raises(ReviewError) as caught:
        review(folder, content)
    text = str(caught.value)
    assert str(folder / "suspects.csv") in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("removed", ["", "2"])
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        *((word, True) for word in ("yes", "YES", " Yes ", "true", "TRUE", "1", "1.0", "1,0", "keep", "WAHR", "ja")),
        *((word, False) for word in ("no", "No", "false", "FALSE", "0", "0.0", "0,0", "drop", "Falsch", "nein")),
    ],
)
def test_an_answer_counts_whatever_the_tool_decided(tmp_path: Path, cell: str, expected: bool, removed: str) -> None:
    text = f'{HEADER}{NAMES[1]},0.5,,,\n{NAMES[0]},0.5,{removed},,"{cell}"\n'
    assert review(tmp_path, text, NAMES[:2])[NAMES[0]] is expected


@pytest.mark.parametrize(("removed", "expected"), [("", True), ("1", False), ("2.0", False), ("3,0", False)])
def test_no_answer_is_the_tools_verdict(tmp_path: Path, removed: str, expected: bool) -> None:
    found = review(tmp_path, f'{HEADER}{NAMES[0]},0.5,"{removed}",, \n{NAMES[1]},0.5,,,\n', NAMES[:2])
    assert found == {NAMES[0]: expected, NAMES[1]: True}


def test_images_that_are_not_named_are_no_verdict(tmp_path: Path) -> None:
    told = message(tmp_path, f"{HEADER}{NAMES[0]},0.5,1,,\n{NAMES[1]},0.5,,,\n")
    assert f"names 2 of the 3 images, not {NAMES[2]!r}; expected every one" in told
    assert "names 0 of the 3" in message(tmp_path, HEADER)


AS_WRITTEN = (
    f'{HEADER}train/good/a.png,4.5,1,true,yes\ntrain/good/b.png,3.25,1,,\n"train/good/c d, Prüfling.png",1.5,,,no\n'
)
GERMAN = (
    "image;score;removed_in_round;injected;keep\r\n"
    "train/good/a.png;4,5;1;WAHR;yes\r\ntrain/good/b.png;3,25;1;;\r\n"
    "train/good/c d, Prüfling.png;01. Mai;;;no\r\n;;;;\r\n"
)
REORDERED = (
    'Keep , note,image,Removed_In_Round\nyes,"scratch,\nno dirt",train/good/a.png,1\n'
    ',,train/good/b.png,1\nno,x,"train/good/c d, Prüfling.png",,,\n'
)
FROM_PROGRAMS = {
    "as written": AS_WRITTEN.encode("utf-8"),
    "byte order mark": AS_WRITTEN.encode("utf-8-sig"),
    "German Excel, UTF-8": GERMAN.encode("utf-8-sig"),
    "German Excel, Windows": GERMAN.encode("cp1252"),
    "Excel's Unicode text": AS_WRITTEN.replace('"', "").replace(", P", "\0").replace(",", "\t").replace("\0", ", P")
    .encode("utf-16"),
    "told separator": b"sep=;\r\n" + GERMAN.encode("utf-8"),
    "old Mac": AS_WRITTEN.replace("\n", "\r").encode("utf-8"),
    "all quoted": "\n".join(
        '"' + '","'.join(cells) + '"'
        for cells in (HEADER.strip().split(","), [NAMES[0], "4", "1", "TRUE", "1.0"], [NAMES[1], "", "1", "", ""],
                      [NAMES[2], "", "", "", "0.0"])
    ).encode("utf-8"),
    "reordered, added to, header retyped": REORDERED.encode("utf-8"),
    "trailing cells cut off": AS_WRITTEN.replace("3.25,1,,\n", "3.25,1\n").encode("utf-8"),
    "UTF-8 opened as Windows' and saved as UTF-8": AS_WRITTEN.encode("utf-8").decode("cp1252").encode("utf-8"),
    "accents taken apart": unicodedata.normalize("NFD", AS_WRITTEN).encode("utf-8"),
    "backslashes": AS_WRITTEN.replace("/", "\\").encode("utf-8"),
    "blank lines": b"\n" + AS_WRITTEN.replace("\n", "\n\n").encode("utf-8"),
}  # fmt: skip


@pytest.mark.parametrize("program", FROM_PROGRAMS)
def test_what_programs_do_to_a_csv_changes_nothing(tmp_path: Path, program: str) -> None:
    assert review(tmp_path, FROM_PROGRAMS[program]) == dict(zip(NAMES, (True, False, False), strict=True))


def test_names_that_a_program_could_mix_up_are_told_apart_or_refused(tmp_path: Path) -> None:
    names = ("a\\b.png", "a/b.png", "=x.png")
    found = review(tmp_path, f"{HEADER}a/b.png,,1,,\n=x.png,,1,,\na\\b.png,,,,\n", names)
    assert found == {"a\\b.png": True, "a/b.png": False, "=x.png": False}
    with pytest.raises(ReviewError, match="not one of the 3 training images"):
        review(tmp_path, f"{HEADER} a/b.png ,,1,,\n", names)


def test_missing_columns_are_named_with_what_was_found(tmp_path: Path) -> None:
    text = message(tmp_path, "image,score,verdict\na.png,1,\n")
    assert "line 1: no column removed_in_round and no column keep; found 'image', 'score', 'verdict'" in text
    assert "2 columns 'keep'" in message(tmp_path, "image,keep,removed_in_round,keep\n")


def test_an_image_that_is_not_in_training_is_named_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    text = message(tmp_path, f'{HEADER}{NAMES[0]},1,,,\n"train/good/c d, Prufling.png",1,,,no\n')
    assert "line 3: 'train/good/c d, Prufling.png' is not one of the 3 training images (nearest: " in text
    assert NAMES[2] in text
    assert "CSV UTF-8" in message(tmp_path, f"{HEADER}train/good/c d? Pr?fling.png,1,,,no\n")
    assert "line 2: no image is named" in message(tmp_path, f"{HEADER},1,,,no\n")


def test_lines_are_counted_as_an_editor_shows_them(tmp_path: Path) -> None:
    text = f'{HEADER}\n{NAMES[0]},"1\n\n1",,,yes\n{NAMES[1]},1,,,maybe\n'
    assert "line 6: 'keep' is 'maybe'; expected yes or no" in message(tmp_path, text)


def test_an_image_twice_is_refused_even_in_other_words(tmp_path: Path) -> None:
    text = message(tmp_path, f"{HEADER}{NAMES[0]},1,,,\n./{NAMES[0]},1,,,no\n")
    assert f"line 3: {NAMES[0]!r} stands there a second time (first in line 2)" in text


def test_a_round_that_is_none_matters_only_without_an_answer(tmp_path: Path) -> None:
    rest = f"{NAMES[1]},1,,,yes\n"
    assert review(tmp_path, f"{HEADER}{NAMES[0]},1,01. Jan,,no\n{rest}", NAMES[:2])[NAMES[0]] is False
    assert "line 2: 'removed_in_round' is '01. Jan'" in message(tmp_path, f"{HEADER}{NAMES[0]},1,01. Jan,,\n")
    assert "'removed_in_round' is '0'" in message(tmp_path, f"{HEADER}{NAMES[0]},1,0,,\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n\r\n", "is empty"),
        (b"PK\x03\x04\x14\x00\x06\x00", "not a text file (a spreadsheet or an archive)"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file (binary)"),
        (f'{HEADER}{NAMES[0]},1,,,no\n{NAMES[1]},1,,,"no\n'.encode(), "line 3: cannot be read as CSV"),
        (b"sep=;\n", "no column image"),
    ],
)
def test_what_is_no_csv_is_told_in_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in message(tmp_path, content)


def test_a_missing_file_and_a_folder_are_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match=r"cannot read the review .*none\.csv: no such file"):
        read_review(tmp_path / "none.csv", NAMES)
    with pytest.raises(ReviewError, match="is a directory"):
        read_review(tmp_path, NAMES)


def test_a_review_that_leaves_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    rows = "".join(f'"{name}",1,,,no\n' for name in NAMES)
    assert "keeps none of the 3 training images" in message(tmp_path, HEADER + rows)
