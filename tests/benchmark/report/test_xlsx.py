from __future__ import annotations

import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from openpyxl.workbook import Workbook
from PIL import Image

from benchmark.api.output_tables import write_tables
from benchmark.metrics.columns import LEADERBOARD, column
from benchmark.records.archive import load
from tests.benchmark.fabricated import make_record, make_sweep, tables_of, write


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    records = [*make_sweep(), make_record(model="=1+1", backbone="@cmd", settings="-x=1", dataset="+plus")]
    panels = [r for r in records if r["experiment"]["seed"] == 0 and r["model"] == "Patchcore"]
    write(folder, records)
    for record in panels:
        (folder / record["folder"] / "images").mkdir()
        Image.new("RGB", (680, 224), "red").save(folder / record["folder"] / "images/worst-0.png")
        record["files"]["images"] = [
            {"kind": "worst", "label": 1, "score": 1.0, "image": "test/a.png", "panel": "images/worst-0.png"},
            {"kind": "best", "label": 1, "score": 9.0, "image": "test/b.png", "panel": "images/lost.png"},
        ]
    write(folder, records)
    write_tables(folder)
    return folder


@pytest.fixture(scope="module")
def book(output: Path) -> Workbook:
    return openpyxl.load_workbook(output / "leaderboard.xlsx")


def test_sheets_are_there_in_reading_order(book: Workbook) -> None:
    expected = ["Decision", "Leaderboard", "By category", "Runs", "Gallery", "Chart", "Backbones", "Failures", "About"]
    assert book.sheetnames == expected


def test_leaderboard_shows_what_the_csv_says(book: Workbook, output: Path) -> None:
    csv = pd.read_csv(output / "leaderboard.csv")
    csv = csv[csv["category"] == "mean"].reset_index(drop=True)
    sheet = book["Leaderboard"]
    assert sheet.max_row == len(csv) + 1
    for place, name in enumerate(LEADERBOARD, start=1):
        assert sheet.cell(1, place).value == column(name).heading
        if not column(name).format:
            continue
        for row, expected in enumerate(csv[name], start=2):
            found = sheet.cell(row, place).value
            assert (found is None) == pd.isna(expected), (name, row)
            assert found is None or found == pytest.approx(expected, rel=1e-12)


def test_the_four_headline_metrics_come_first_as_numbers_with_a_format(book: Workbook) -> None:
    sheet = book["Leaderboard"]
    headings = [cell.value for cell in sheet[1] if cell.value != "±"]
    metrics = [heading for heading in headings if heading.endswith("↑")]
    assert headings[:5] == ["Rank", "Model", "Backbone", "Settings", "Data set"]
    assert metrics[:4] == ["Image AUROC ↑", "Image F1 ↑", "Pixel AUROC ↑", "Pixel F1 ↑"]
    cell = sheet.cell(3, 1 + [c.value for c in sheet[1]].index("Image AUROC ↑"))
    assert (cell.data_type, cell.number_format) == ("n", "0.000")


def test_no_text_is_a_formula_or_a_link(book: Workbook) -> None:
    texts = set()
    for sheet in book:
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "f" or sheet.title.startswith("Threshold"), cell.coordinate
                assert cell.hyperlink is None or sheet.title == "Gallery"
                texts.add(cell.value)
    assert {"=1+1", "@cmd", "-x=1", "+plus"} <= texts


def test_heading_stays_in_view_with_filters_notes_widths_and_colors(book: Workbook) -> None:
    sheet = book["Leaderboard"]
    assert sheet.freeze_panes == "D2"
    assert sheet.auto_filter.ref.startswith("A1:")
    assert sheet.column_dimensions["D"].width > 25
    assert "0.5 is guessing" in sheet.cell(1, 6).comment.text
    assert len(sheet.conditional_formatting) > 5
    assert all(book[name].freeze_panes for name in ("By category", "Runs", "Failures", "About", "Gallery"))


def test_synthetic_data_sets_are_marked_on_every_sheet(book: Workbook) -> None:
    for name in ("Leaderboard", "By category", "Chart", "Runs", "Failures", "About", "Gallery"):
        values = [str(cell.value) for row in book[name].iter_rows() for cell in row if cell.value is not None]
        assert any("tiles (synthetic)" in value for value in values), name
        if name != "About":
            assert "tiles" not in values, name


def test_chart_has_one_series_a_model_and_one_of_the_front_on_each_data_set(book: Workbook) -> None:
    charts = book["Chart"]._charts
    assert [len(chart.series) for chart in charts] == [1, 4 + 1, 4 + 1]  # no front of a single point


def test_gallery_shows_panels_that_exist_of_leading_models(book: Workbook) -> None:
    sheet = book["Gallery"]
    assert len(sheet._images) == sheet.max_row - 1 > 0
    assert {sheet.cell(row, 5).value for row in range(2, sheet.max_row + 1)} == {"worst"}
    assert {sheet.cell(row, 7).value for row in range(2, sheet.max_row + 1)} == {"good"}


def test_without_images_there_is_no_gallery_and_without_records_no_chart(tmp_path: Path) -> None:
    write(tmp_path, [make_record(latency=None, status="failed")])
    write_tables(tmp_path, formats=("xlsx",))
    assert openpyxl.load_workbook(tmp_path / "leaderboard.xlsx").sheetnames == [
        "Decision", "Leaderboard", "By category", "Runs", "Failures", "About",
    ]  # fmt: skip


def test_empty_columns_of_single_seed_sweeps_are_hidden(tmp_path: Path) -> None:
    write(tmp_path, [make_record()])
    write_tables(tmp_path, formats=("xlsx",))
    sheet = openpyxl.load_workbook(tmp_path / "leaderboard.xlsx")["By category"]
    hidden = {
        sheet.cell(1, place).value
        for place in range(1, sheet.max_column + 1)
        if sheet.column_dimensions[openpyxl.utils.get_column_letter(place)].hidden
    }
    assert "±" in hidden
    assert not hidden & {"Pixel AUROC ↑", "Pixel F1 ↑", "Model"}


def test_odd_texts_survive(tmp_path: Path) -> None:
    odd = {"type": "E", "message": "tab\tnul\x00 \x0b line\nbreak " + "long " * 10_000, "traceback": ""}
    write(tmp_path, [make_record(status="failed", error=odd), make_record(model="Ünïcode 模型")])
    write_tables(tmp_path, formats=("xlsx",))
    assert zipfile.ZipFile(tmp_path / "leaderboard.xlsx").testzip() is None
    sheet = openpyxl.load_workbook(tmp_path / "leaderboard.xlsx")["Failures"]
    assert "line\nbreak" in str([cell.value for cell in sheet[2]]).replace("\\n", "\n")


def test_frames_are_left_as_they_were(output: Path) -> None:
    archive = load(output)
    tables = tables_of(archive.records)
    before = tables.leaderboard.copy()
    from benchmark.report.xlsx import write_xlsx

    write_xlsx(tables, output / "other.xlsx")
    pd.testing.assert_frame_equal(tables.leaderboard, before)
