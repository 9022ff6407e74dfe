from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from benchmark.report.xlsx import write_xlsx
from benchmark.statistics.rates import binomial_interval
from tests.benchmark.report.decided import COST, N_DEFECTIVE, N_GOOD, make_decision, make_scores, make_tables

CHOSEN = 16  # row of the chosen threshold


def write(path: Path, **rest: Any) -> None:
    write_xlsx(make_tables(make_decision(cost=COST, **rest)), path)


def calculated(path: Path, folder: Path) -> Worksheet:
    """The sheet after LibreOffice has worked out its formulas."""
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    target = ["--convert-to", "xlsx:Calc MS Excel 2007 XML", "--outdir", str(folder / "done"), str(path)]
    subprocess.run(["soffice", profile, "--headless", *target], check=True, capture_output=True, timeout=120)
    return openpyxl.load_workbook(folder / "done" / path.name, data_only=True)["Threshold"]


def test_values_beside_the_formulas_are_those_of_a_slow_count(tmp_path: Path) -> None:
    write(tmp_path / "a.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx", data_only=True)["Threshold"]
    scores, cut = make_scores(), sheet["C4"].value
    missed = sum(1 for label, score in zip(scores["label"], scores["score"], strict=True) if label and score < cut)
    alarms = sum(1 for label, score in zip(scores["label"], scores["score"], strict=True) if not label and score >= cut)
    row = [cell.value for cell in sheet[CHOSEN]][1:13]
    assert cut == 1.5
    assert 0 < missed < N_DEFECTIVE
    assert row[:4] == ["chosen", cut, missed, missed / N_DEFECTIVE]
    assert row[4:6] == pytest.approx(binomial_interval(missed, N_DEFECTIVE))
    assert row[6:8] == [alarms, alarms / N_GOOD]
    expected = 1000 * (0.004 * missed / N_DEFECTIVE * 500 + 0.996 * alarms / N_GOOD * 3)
    assert row[11] == pytest.approx(expected)


def test_every_count_is_a_formula_on_the_input_cells(tmp_path: Path) -> None:
    write(tmp_path / "a.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx")["Threshold"]
    assert all(str(cell.value).startswith("=") for row in sheet["C14:M18"] for cell in row)
    assert "COUNTIFS" in sheet["D16"].value
    assert all(sheet[f"C{row}"].fill.fgColor.rgb == "FFFFF3C4" for row in range(4, 11))


def test_a_lower_threshold_misses_fewer_and_calls_more(tmp_path: Path) -> None:
    write(tmp_path / "a.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx", data_only=True)["Threshold"]
    missed, alarms = ([sheet.cell(row, place).value for row in range(14, 19)] for place in (4, 8))
    assert missed == sorted(missed)
    assert alarms == sorted(alarms, reverse=True)


def test_without_costs_no_cost_is_told(tmp_path: Path) -> None:
    write_xlsx(make_tables(make_decision()), tmp_path / "a.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx", data_only=True)["Threshold"]
    assert not any(sheet.cell(row, 13).value for row in range(14, 19))


def test_names_of_sheets_are_such_as_programs_take(tmp_path: Path) -> None:
    long = "a/very:long*name?of [a] data set's"
    names = ["one", long, f"{long} too"]
    write_xlsx(make_tables(*(make_decision(dataset=name) for name in names)), tmp_path / "a.xlsx")
    found = [name for name in openpyxl.load_workbook(tmp_path / "a.xlsx").sheetnames if name.startswith("Threshold")]
    assert found == ["Threshold", "Threshold a-very-long-name-of -", "Threshold a-very-long-name-o 2"]
    assert all(len(name) <= 31 for name in found)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("soffice") is None, reason="needs LibreOffice; the slow count above needs nothing")
def test_libreoffice_works_out_the_same_and_follows_an_edit(tmp_path: Path) -> None:
    write(tmp_path / "a.xlsx", upper=1.9)
    cached = openpyxl.load_workbook(tmp_path / "a.xlsx", data_only=True)["Threshold"]
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    book.save(tmp_path / "b.xlsx")  # openpyxl leaves out the values
    found = calculated(tmp_path / "b.xlsx", tmp_path)
    for cells in (*cached["B14:M18"], *cached["O1:T51"]):
        for cell in cells:
            value = found[cell.coordinate].value
            assert value == (pytest.approx(cell.value) if isinstance(cell.value, float) else cell.value)
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")  # a second save of one has lost its images
    book["Threshold"]["C4"], book["Threshold"]["C5"] = 1.2, None
    book.save(tmp_path / "c.xlsx")
    edited, scores = calculated(tmp_path / "c.xlsx", tmp_path), make_scores()
    assert edited["D16"].value == ((scores["label"] == 1) & (scores["score"] < 1.2)).sum()
    assert edited["L16"].value == 0
    assert edited["M16"].value != cached["M16"].value
