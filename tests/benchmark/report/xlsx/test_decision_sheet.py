from __future__ import annotations

import zipfile
from pathlib import Path

import openpyxl
import pytest
from openpyxl.workbook import Workbook

from benchmark.report.xlsx import write_xlsx
from tests.benchmark.report.decided import COST, make_decision, make_tables


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("book") / "leaderboard.xlsx"
    write_xlsx(make_tables(make_decision(), make_decision(dataset="other", cost=COST)), path, links="../out")
    return path


@pytest.fixture(scope="module")
def book(file: Path) -> Workbook:
    return openpyxl.load_workbook(file)


def _texts(book: Workbook) -> list[str]:
    return [str(cell.value) for row in book["Decision"].iter_rows() for cell in row if cell.value is not None]


def test_the_book_opens_with_the_decision_and_curves_are_hidden_behind_all(book: Workbook) -> None:
    assert book.sheetnames[:5] == ["Decision", "Leaderboard", "Differences", "Threshold", "Threshold other"]
    assert book.active.title == "Decision"
    assert book.sheetnames[-1] == "Curves"
    assert book["Curves"].sheet_state == "hidden"


def test_which_how_many_how_sure_and_what_next_are_on_the_sheet(book: Workbook) -> None:
    texts = _texts(book)
    assert texts[:3] == ["elpv", "Patchcore, resnet18 misses the fewest.", "Padim cannot be told from it."]
    for expected in ("3 of 20", "150 (32 to 379)", "1 of 30", "33 (1 to 172)", "One seed.", "Run 3 seeds.",
                     "With 30 good images at least 3.2 % false alarms must be allowed for."):  # fmt: skip
        assert expected in texts, expected
    assert "workbench export --run 0123456789abcdef --records output --output model" in texts


def test_cost_and_unsure_have_columns_only_where_there_is_one(book: Workbook) -> None:
    texts = _texts(book)
    other = texts.index("other")
    assert "Cost of 1,000 parts" not in texts[:other]
    assert "7.5" in texts[other:]


def test_confusion_of_the_first_row_repeats_the_counts_above_it(book: Workbook) -> None:
    assert {"3 missed", "1 false alarm"} <= set(_texts(book))


def test_every_leading_row_has_three_charts(book: Workbook) -> None:
    assert len(book["Decision"]._charts) == 3 * 2 * 2


def test_examples_are_drawn_and_link_to_their_files_as_seen_from_the_workbook(book: Workbook, file: Path) -> None:
    assert len(book["Decision"]._images) == 4
    with zipfile.ZipFile(file) as parts:
        links = parts.read("xl/worksheets/_rels/sheet1.xml.rels").decode()
    assert links.count(r'Target="..\out\runs\a%20b\missed-0.jpg"') == 2  # one a data set; slashes as Excel wants them


def test_pairs_that_are_told_apart_are_bold(book: Workbook) -> None:
    sheet = book["Differences"]
    assert [sheet.cell(row, 1).font.bold for row in (2, 3)] == [False, True]
    assert sheet.auto_filter.ref


def test_scores_of_one_kind_have_no_roc(tmp_path: Path) -> None:
    decision = make_decision()
    row = decision.leading[0]
    alone = row.__class__(**{**vars(row), "scores": row.scores[row.scores["label"] == 0]})
    write_xlsx(make_tables(decision.__class__(**{**vars(decision), "leading": (alone,)})), tmp_path / "a.xlsx")
    assert len(openpyxl.load_workbook(tmp_path / "a.xlsx")["Decision"]._charts) == 1
