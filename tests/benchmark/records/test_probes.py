"""What tables make of probe*.csv, sound or broken."""

from __future__ import annotations

import re
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from benchmark.__main__ import main
from benchmark.api.output_tables import write_tables
from benchmark.metrics.columns import column
from benchmark.records.archive import load
from benchmark.records.probes import ProbeError, read_probes
from tests.benchmark.fabricated import make_record, tables_of, write, write_probes


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (",0.8,", ",eighty,", r"^line 2: top1 is 'eighty', expected a share from 0 to 1$"),
        (",0.8,", ",80.0,", r"^line 2: top1 is '80.0', expected a share from 0 to 1$"),
        (",0.8,", ",nan,", r"^line 2: top1 is 'nan'"),
        (",360,", ",360.5,", r"^line 2: n_test is '360.5', expected a whole number$"),
        (",360,", ",inf,", r"^line 2: n_test is 'inf', expected a whole number$"),
        ("resnet18", "", r"^line 2: backbone is blank, expected a name$"),
        ("top5,knn_top1", "top_5,knn", r"no column top5, knn_top1 \(found data, .*top_5, knn.*\).* `probe`$"),
        (",", ";", r"no column data, .*\(found data;backbone"),
        (",imagenet,", ',"imagenet,', r"^line 2: it has not as many cells as there are columns; was it cut off\?$"),
        (",0.8,", ",,", r"^line 2: top1 is '', expected a share"),
        ("shirts", "\0\udcff", r"^it is no table of comma-separated values in UTF-8"),
    ],
)  # fmt: skip
def test_a_broken_file_is_told_in_one_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = write_probes(tmp_path, [{}])
    path.write_bytes(path.read_text().replace(old, new).encode(errors="surrogateescape"))
    with pytest.raises(ProbeError, match=sentence):
        read_probes(path)


def test_an_empty_file_is_broken_and_one_without_rows_is_not(tmp_path: Path) -> None:
    assert read_probes(write_probes(tmp_path, [])) == []
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ProbeError, match="found nothing"):
        read_probes(tmp_path / "empty.csv")


def test_blank_cells_and_a_byte_order_mark_are_no_fault(tmp_path: Path) -> None:
    path = write_probes(tmp_path, [{"top5": "", "weights_sha256": "", "weights": "random"}])
    path.write_text("\N{ZERO WIDTH NO-BREAK SPACE}" + path.read_text(), encoding="utf-8")
    (row,) = read_probes(path)
    assert (row["data"], row["top1"], row["top5"], row["n_test"], row["seed"]) == ("shirts", 0.8, None, 360, "0")


def test_a_broken_file_is_named_and_costs_neither_the_leaderboard_nor_other_probes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, [make_record()])
    write_probes(tmp_path, [{"top1": "high"}])
    write_probes(tmp_path, [{"data": "shoes", "top1": 0.6}], "probe_shoes.csv")
    assert main(["table", "--output", str(tmp_path)]) == 0
    assert pd.read_csv(tmp_path / "leaderboard.csv")["rank"].tolist()[0] == 1
    (warning,) = load(tmp_path).warnings
    assert warning == "probe.csv is left out: line 2: top1 is 'high', expected a share from 0 to 1."
    assert warning in caplog.text
    assert warning.replace("'", "&#39;") in (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    book = openpyxl.load_workbook(tmp_path / "leaderboard.xlsx")
    assert warning in [cell.value for cell in book["About"]["C"]]
    assert "shoes\nProbe top-1 ↑" in [cell.value for cell in book["Backbones"][1]]


def test_a_folder_of_that_name_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "probe.csv").mkdir()
    assert re.match("probe.csv is left out: .*directory", load(write(tmp_path, [make_record()])).warnings[0])


def test_two_files_that_contradict_each_other_are_told_and_the_later_counts(tmp_path: Path) -> None:
    write_probes(tmp_path, [{"top1": 0.8}, {"data": "same"}], "probe_a.csv")
    write_probes(tmp_path, [{"top1": 0.7}, {"data": "same"}], "probe_b.csv")
    archive = load(tmp_path)
    assert archive.warnings == [
        "probe_b.csv has another result for resnet18 imagenet layer3 on shirts with seed 0 than probe_a.csv "
        "(top1 0.7, 0.8); the later counts."
    ]
    assert tables_of([], probes=archive.probes).backbones["probe_top1 | shirts"].tolist() == [0.7]


def test_about_tells_the_size_of_the_data_and_what_guessing_gives(tmp_path: Path) -> None:
    write_probes(tmp_path, [{}])
    about = tables_of([], probes=load(tmp_path).probes).about
    (text,) = about.loc[(about["section"] == "Probes") & (about["name"] == "shirts"), "value"]
    assert text == (
        "800 training images of 20 classes, 360 test images; guessing is right for 5.0%; images of 96 px; probe.csv"
    )


def test_sheet_shows_the_frame_as_numbers_with_a_format_colors_and_notes(tmp_path: Path) -> None:
    records = [
        make_record(seed=seed, backbone=backbone, metrics={"image_AUROC": 0.8 + seed / 10 + len(backbone) / 1000})
        for seed in (0, 1)
        for backbone in ("resnet18", "=resnet34")
    ]
    write_probes(write(tmp_path, records), [{}, {"weights": "random", "weights_sha256": "", "top1": 0.3}])
    write_tables(tmp_path, formats=("xlsx",))
    archive = load(tmp_path)
    frame = tables_of(archive.records, probes=archive.probes).backbones
    sheet = openpyxl.load_workbook(tmp_path / "leaderboard.xlsx")["Backbones"]
    assert (sheet.max_row, sheet.max_column) == (len(frame) + 1, len(frame.columns)) == (4, len(frame.columns))
    for place, name in enumerate(frame, start=1):
        assert sheet.cell(1, place).value == column(name).heading
        assert sheet.cell(1, place).comment is not None
        for row, expected in enumerate(frame[name], start=2):
            cell = sheet.cell(row, place)
            assert (cell.value is None) == (pd.isna(expected) or expected == ""), (name, row)
            assert cell.value is None or cell.value == (
                expected if isinstance(expected, str) else pytest.approx(expected)
            )
            assert cell.data_type == ("n" if cell.value is None or not isinstance(expected, str) else "s")
    headings = [cell.value for cell in sheet[1]]
    auroc = headings.index("Patchcore on elpv mono\nImage AUROC ↑") + 1
    assert sheet.cell(2, auroc).number_format == "0.000"
    assert headings[auroc] == "±"
    assert sheet.freeze_panes == "D2"
    colored = {str(block.sqref) for block in sheet.conditional_formatting}
    assert f"{sheet.cell(2, auroc).coordinate}:{sheet.cell(4, auroc).coordinate}" in colored
    assert sheet.row_dimensions[1].height > 44 * 0.75
    assert sheet.print_title_cols == "$A:$C"
