from __future__ import annotations

import io
import posixpath
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest
import xlsxwriter
from PIL import Image

from benchmark.report.into import write_into
from benchmark.report.locks import ReportError
from benchmark.report.team_columns import KEY
from benchmark.tables.leaderboard import Frames
from tests.benchmark.report.decided import make_decision, make_tables

LISTS = {"[Content_Types].xml", "xl/_rels/workbook.xml.rels", "xl/workbook.xml", "xl/styles.xml"}
OURS = ["Decision", "Leaderboard", "Differences", "Threshold", "By category", "Runs", "Chart", "Failures", "About",
        "Curves"]  # fmt: skip


@pytest.fixture(scope="module")
def tables() -> Frames:
    return make_tables(make_decision())


@pytest.fixture(scope="module")
def made(tables: Frames, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A workbook with our sheets alone."""
    path = tmp_path_factory.mktemp("made") / "new.xlsx"
    write_into(tables, path, path.parent)
    return path.read_bytes()


@pytest.fixture
def path(made: bytes, tmp_path: Path) -> Path:
    """The same as a file."""
    found = tmp_path / "new.xlsx"
    found.write_bytes(made)
    return found


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    """A team's workbook with what openpyxl would lose: a chart, an image, a filter in use, a table, own looks."""
    path = tmp_path / "models comparing.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("Our notes")
        look = book.add_format({"bold": True, "bg_color": "#FFEE00", "num_format": '0.00 "EUR"', "font_name": "Arial"})
        sheet.set_column(0, 0, 33, look)
        for row in range(10):
            sheet.write_row(row, 0, (f"model {row}", 1.5 * row), look)
        sheet.write_comment("A3", "a note of the team")
        sheet.autofilter("A1:B10")
        sheet.filter_column("B", "x > 3")
        red = book.add_format({"bg_color": "#FF0000"})
        sheet.conditional_format("B1:B10", {"type": "cell", "criteria": ">", "value": 5, "format": red})
        sheet.data_validation("C1", {"validate": "list", "source": ["a", "b"]})
        chart = book.add_chart({"type": "column"})
        chart.add_series({"values": "='Our notes'!$B$1:$B$10"})
        sheet.insert_chart("E2", chart)
        picture = io.BytesIO()
        Image.new("RGB", (9, 9), "green").save(picture, "PNG")
        sheet.insert_image("E20", "x.png", {"image_data": picture})
        plan = book.add_worksheet("Plan")
        plan.write_formula("A1", "=SUM('Our notes'!B1:B10)", None, 67.5)
        plan.add_table("C1:D4", {"columns": [{"header": "a"}, {"header": "b"}]})
        book.define_name("Budget", "='Our notes'!$B$2")
        book.define_name("Plan!local", "=Plan!$A$1")
    return path


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


def edit(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Change parts of a workbook."""
    found = parts(path)
    change(found)
    with zipfile.ZipFile(path, "w") as file:
        for name, part in found.items():
            file.writestr(name, part)


def put(path: Path, sheet: str, **cells: object) -> None:
    """Write cells as a team would, of a workbook that has nothing openpyxl loses on these sheets."""
    book = openpyxl.load_workbook(path)
    for name, value in cells.items():
        book[sheet][name] = value
    book.save(path)


def beside(path: Path, sheet: str = "Leaderboard") -> dict[str, list[object]]:
    """What stands right of the keys, by key."""
    rows = list(openpyxl.load_workbook(path)[sheet].iter_rows(values_only=True))
    at = rows[0].index(KEY)
    return {str(row[at]): list(row[at + 1 :]) for row in rows[1:] if row[at]}


def comment_column(path: Path, sheet: str = "Leaderboard") -> str:
    headings = [cell.value for cell in openpyxl.load_workbook(path)[sheet][1]]
    return openpyxl.utils.get_column_letter(headings.index("Comment") + 1)


def test_every_part_of_the_team_keeps_its_bytes(workbook: Path, tables: Frames, tmp_path: Path) -> None:
    before = parts(workbook)
    write_into(tables, workbook, tmp_path)
    after = parts(workbook)
    assert {name for name in before if before[name] != after.get(name)} == LISTS
    book = openpyxl.load_workbook(workbook)
    assert book.sheetnames == ["Our notes", "Plan", *OURS]
    assert book.active.title == "Our notes"
    assert book.defined_names["Budget"].attr_text == "'Our notes'!$B$2"
    assert set(book["Plan"].defined_names) == {"local"}


def test_looks_of_the_team_and_ours_are_both_right(workbook: Path, path: Path, tables: Frames, tmp_path: Path) -> None:
    write_into(tables, workbook, tmp_path)
    book = openpyxl.load_workbook(workbook)
    cell = book["Our notes"]["B2"]
    assert (cell.number_format, cell.font.name, cell.fill.fgColor.rgb) == ('0.00 "EUR"', "Arial", "FFFFEE00")
    ours = openpyxl.load_workbook(path)
    for name in ("Decision", "Leaderboard", "Threshold", "About"):
        for row in ours[name].iter_rows():
            for expected in row:
                found = book[name][expected.coordinate]
                assert found.value == expected.value
                for look in ("font", "fill", "border", "alignment"):
                    assert repr(getattr(found, look)) == repr(getattr(expected, look)), (name, found.coordinate)
                assert found.number_format == expected.number_format


def test_every_part_that_is_named_is_there_and_has_a_type(workbook: Path, tables: Frames, tmp_path: Path) -> None:
    write_into(tables, workbook, tmp_path)
    write_into(tables, workbook, tmp_path)
    found = parts(workbook)
    types = found["[Content_Types].xml"].decode()
    suffixes = set(re.findall(r'Extension="(\w+)"', types))
    for name, part in found.items():
        assert f'PartName="/{name}"' in types or name.rpartition(".")[2] in suffixes, name
        if not name.endswith(".rels"):
            continue
        folder = posixpath.dirname(posixpath.dirname(name))
        links = [link for link in re.findall(r"<Relationship [^>]*>", part.decode()) if "External" not in link]
        for target in [re.search(r'Target="([^"]*)"', link)[1] for link in links]:
            assert posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/") in found, (name, target)
    assert all(name.lstrip("/") in found for name in re.findall(r'PartName="([^"]*)"', types))
    assert (
        len(re.findall(r'tabSelected="1"', "".join(part.decode() for name, part in found.items() if "sheets/" in name)))
        == 1
    )


def test_writing_again_changes_nothing(workbook: Path, tables: Frames, tmp_path: Path) -> None:
    write_into(tables, workbook, tmp_path)
    once = parts(workbook)
    write_into(tables, workbook, tmp_path)
    assert parts(workbook) == once


def test_a_new_workbook_is_refreshed(path: Path, tables: Frames, tmp_path: Path) -> None:
    write_into(tables, path, tmp_path)
    assert openpyxl.load_workbook(path).sheetnames == OURS


def test_comments_stay_with_their_runs_and_lost_ones_are_listed(path: Path, tables: Frames, tmp_path: Path) -> None:
    column, keys = comment_column(path), list(beside(path))
    owner = openpyxl.utils.get_column_letter(openpyxl.utils.column_index_from_string(column) + 1)
    put(
        path,
        "Leaderboard",
        **{f"{column}2": "take it", f"{column}4": 17, f"{owner}1": "Owner", f"{owner}4": "=Ann"[1:]},
    )
    put(path, "Runs", **{f"{comment_column(path, 'Runs')}3": "odd run"})
    kept = tables.leaderboard.iloc[::-1].drop(index=2)
    write_into(replace(tables, leaderboard=kept.reset_index(drop=True)), path, tmp_path)
    found = beside(path)
    assert found[keys[0]] == ["take it", None]
    assert found[keys[2]] == [17, "Ann"]
    assert list(found)[-1] == keys[2]
    assert "Comments on rows that are gone" in [cell.value for cell in openpyxl.load_workbook(path)["Leaderboard"]["A"]]
    assert ["odd run"] in beside(path, "Runs").values()
    write_into(tables, path, tmp_path)
    assert [beside(path)[key] for key in keys[:4]] == [["take it", None], [None, None], [17, "Ann"], [None, None]]


def test_a_formula_that_refers_to_ours_has_no_stale_result(path: Path, tables: Frames, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(path)
    book.create_sheet("Mine")["A1"] = "='By category'!F2*100"
    book.save(path)
    result = (rb"(\*100</f>)<v ?/?>(?:</v>)?", rb"\1<v>5</v>")
    edit(path, lambda found: found.update({name: re.sub(*result, part) for name, part in found.items()}))
    assert openpyxl.load_workbook(path, data_only=True)["Mine"]["A1"].value == 5
    write_into(tables, path, tmp_path)
    assert openpyxl.load_workbook(path)["Mine"]["A1"].value == "='By category'!F2*100"
    assert openpyxl.load_workbook(path, data_only=True)["Mine"]["A1"].value is None


def test_a_sheet_that_is_no_more_stays_for_formulas_and_says_so(path: Path, tables: Frames, tmp_path: Path) -> None:
    write_into(replace(tables, differences=tables.differences.iloc[:0]), path, tmp_path)
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == OURS
    assert book["Differences"]["A1"].value.startswith("Nothing to list")
    write_into(tables, path, tmp_path)
    assert openpyxl.load_workbook(path)["Differences"]["D2"].value == "Padim"


def test_a_renamed_sheet_is_the_teams_from_then_on(path: Path, tables: Frames, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(path)
    book["Leaderboard"].title = "Snapshot of May"
    book.save(path)
    write_into(tables, path, tmp_path)
    assert {"Snapshot of May", "Leaderboard"} <= set(openpyxl.load_workbook(path).sheetnames)


def _foreign(path: Path) -> None:
    with xlsxwriter.Workbook(str(path)) as book:
        book.add_worksheet("leaderboard")


def _table_on_ours(path: Path) -> None:
    book = openpyxl.load_workbook(path)
    book["Leaderboard"].add_table(openpyxl.worksheet.table.Table(displayName="T", ref="A1:D4"))
    book.save(path)


def _note_on_ours(path: Path) -> None:
    book = openpyxl.load_workbook(path)
    book["Leaderboard"]["B3"].comment = openpyxl.comments.Comment("ask Ann", "team")
    book.save(path)


def _formula_as_comment(path: Path) -> None:
    put(path, "Leaderboard", **{f"{comment_column(path)}3": "=A1"})


def _protected_sheet(path: Path) -> None:
    book = openpyxl.load_workbook(path)
    book["Runs"].protection.sheet = True
    book.save(path)


def _protected_structure(path: Path) -> None:
    book = openpyxl.load_workbook(path)
    book.security = openpyxl.workbook.protection.WorkbookProtection(lockStructure=True)
    book.save(path)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "open in Excel": (lambda path: path.with_name(f"~${path.name}").touch(), "open in a spreadsheet"),
    "open in LibreOffice": (lambda path: path.with_name(f".~lock.{path.name}#").touch(), "open in a spreadsheet"),
    "encrypted": (lambda path: path.write_bytes(bytes.fromhex("D0CF11E0A1B11AE1") + b"x"), "protected by a password"),
    "structure": (_protected_structure, "its structure is protected"),
    "sheet": (_protected_sheet, "its sheet Runs is protected"),
    "read-only": (lambda path: path.chmod(0o444), "read-only"),
    "damaged": (_cut, "damaged or no workbook"),
    "no zip": (lambda path: path.write_text("a,b"), "damaged or no workbook"),
    "another zip": (lambda path: edit(path, lambda found: found.pop("xl/workbook.xml")), "damaged or no workbook"),
    "foreign": (_foreign, "has a sheet leaderboard of its own"),
    "table": (_table_on_ours, "holds a table of yours"),
    "note": (_note_on_ours, "holds a note in B3 of yours"),
    "formula": (_formula_as_comment, "has a formula in"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_is_a_sentence_and_nothing_changes(
    case: str, path: Path, tables: Frames, tmp_path: Path
) -> None:
    spoil, sentence = REFUSED[case]
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(ReportError, match=re.escape(str(path))) as caught:
        write_into(tables, path, tmp_path)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir() if not one.name.startswith(("~$", ".~lock"))) == ["new.xlsx"]


def test_other_formats_and_folders_are_refused(tables: Frames, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"expected a workbook \.xlsx"):
        write_into(tables, tmp_path / "a.ods", tmp_path)
    (tmp_path / "b.xlsx").mkdir()
    with pytest.raises(ReportError, match="it is a folder"):
        write_into(tables, tmp_path / "b.xlsx", tmp_path)


def test_a_full_disk_keeps_the_earlier_workbook(
    workbook: Path, tables: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = workbook.read_bytes()

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, f"{path} could not be written: no space left on device")

    monkeypatch.setattr("benchmark.report.into.team_workbook.write_whole", full)
    with pytest.raises(OSError, match="no space left"):
        write_into(tables, workbook, tmp_path)
    assert workbook.read_bytes() == before


def test_permissions_of_a_shared_workbook_stay(workbook: Path, tables: Frames, tmp_path: Path) -> None:
    workbook.chmod(0o660)
    write_into(tables, workbook, tmp_path)
    assert workbook.stat().st_mode & 0o777 == 0o660


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("soffice") is None, reason="needs LibreOffice; the other tests of this file do not")
def test_libreoffice_opens_it_works_out_formulas_and_keeps_our_marks(
    workbook: Path, tables: Frames, tmp_path: Path
) -> None:
    write_into(tables, workbook, tmp_path)
    put(workbook, "Plan", A5="=Leaderboard!F2*100", A6="=A5+1")
    for _ in range(2):  # the second time LibreOffice has saved what is refreshed
        profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
        target = ["--convert-to", "xlsx:Calc MS Excel 2007 XML", "--outdir", str(tmp_path / "saved"), str(workbook)]
        subprocess.run(["soffice", profile, "--headless", *target], check=True, capture_output=True, timeout=120)
        shutil.copy(tmp_path / "saved" / workbook.name, workbook)
        book = openpyxl.load_workbook(workbook, data_only=True)
        assert book["Plan"]["A1"].value == 67.5
        assert book["Plan"]["A6"].value == pytest.approx(book["Leaderboard"]["F2"].value * 100 + 1)
        lower = tables.leaderboard.assign(image_AUROC=tables.leaderboard["image_AUROC"] - 0.1)
        write_into(replace(tables, leaderboard=lower), workbook, tmp_path)
    assert openpyxl.load_workbook(workbook).sheetnames == ["Our notes", "Plan", *OURS]
