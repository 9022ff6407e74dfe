from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmark.api.output_tables import write_tables
from benchmark.metrics.columns import column
from benchmark.report.html import format_number
from tests.benchmark.fabricated import make_record, make_sweep, tables_of, write

EVIL = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Cells of each table, every tag with its attributes, and the text."""

    VOID = frozenset({"meta", "input", "br", "img", "line", "circle", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.keys: dict[str, list[list[str | None]]] = {}
        self.open: list[str] = []
        self._table = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self._table = str(found.get("id"))
            self.tables[self._table], self.keys[self._table] = [], []
        elif tag == "tr":
            self.tables[self._table].append([])
            self.keys[self._table].append([])
        elif tag in ("td", "th"):
            self.tables[self._table][-1].append("")
            self.keys[self._table][-1].append(found.get("data-key"))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "button") and "table" in self.open:
            self.tables[self._table][-1][-1] += data.strip()


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    failure = {"type": "E", "message": EVIL, "traceback": ""}
    evil = make_record(model=EVIL, backbone=f'"{EVIL}', settings=EVIL, dataset=f"d'{EVIL}", category=EVIL)
    write(folder, [*make_sweep(), evil, make_record(model="Padim", dataset="new", status="failed", error=failure)])
    write_tables(folder, formats=("html",))
    return folder


@pytest.fixture(scope="module")
def text(output: Path) -> str:
    return (output / "leaderboard.html").read_text(encoding="utf-8")


def test_page_is_well_formed_and_needs_nothing_beside_it(text: str) -> None:
    page = Page(text)
    assert page.open == []
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "srcset"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    assert not re.search(r"https?://(?!www\.w3\.org)|@import|url\(", text)


def test_names_from_records_cannot_become_markup(text: str) -> None:
    assert EVIL not in text
    assert len([tag for tag, _ in Page(text).tags if tag == "script"]) == 1
    assert any(EVIL in row for row in Page(text).tables["leaderboard"])


def test_table_shows_the_leaderboard_in_its_order(text: str, output: Path) -> None:
    from benchmark.records.archive import load

    expected = tables_of(load(output).records).leaderboard
    header, *rows = Page(text).tables["leaderboard"]
    assert header[:6] == ["Rank", "Model", "Backbone", "Settings", "Data set", "Image AUROC\N{NO-BREAK SPACE}↑"]
    assert [row[1] for row in rows] == expected["model"].tolist()
    for row, (_, line) in zip(rows, expected.iterrows(), strict=True):
        blank = line["image_AUROC"] != line["image_AUROC"]
        assert row[5] == ("" if blank else f"{line['image_AUROC']:.3f}")


def test_cells_carry_the_unrounded_value_to_sort_by_and_blanks_none(text: str) -> None:
    page = Page(text)
    place = page.tables["leaderboard"][0].index("Pixel AUROC\N{NO-BREAK SPACE}↑")
    keys = [row[place] for row in page.keys["leaderboard"][1:]]
    assert "" in keys
    assert all(float(key) > 0.4 for key in keys if key)


def test_synthetic_failed_and_unranked_rows_are_marked(text: str) -> None:
    page = Page(text)
    datasets = {row[4] for row in page.tables["leaderboard"][1:]}
    assert "tiles (synthetic)" in datasets
    assert "tiles" not in datasets
    assert any(attributes.get("class", "").startswith("unranked") for tag, attributes in page.tags if tag == "tr")
    assert any(EVIL in row for row in page.tables["failures"])


def test_run_keys_stand_beside_a_command_to_copy(text: str, output: Path) -> None:
    from benchmark.records.archive import load

    archive = load(output)
    page = Page(text)
    commands = [attributes["data-command"] for tag, attributes in page.tags if "data-command" in attributes]
    finished = {record.key for record in archive.records if record.is_finished}
    assert {str(command).split()[3] for command in commands} == finished
    assert all(str(command).startswith("workbench export --run ") for command in commands)
    assert all(str(command).endswith(f"--records {output} --output model") for command in commands)
    place = page.tables["leaderboard"][0].index("Runs")
    board = tables_of(archive.records).leaderboard
    for row, (_, line) in zip(page.tables["leaderboard"][1:], board.iterrows(), strict=True):
        assert row[place].startswith(line["status"])
    best = text.split('id="leaderboard"')[0]
    assert all(key in best for key in board.loc[board["rank"] == 1, "run_keys"].str.split(";").explode())


def test_every_complete_row_is_a_point_in_a_chart(text: str, output: Path) -> None:
    from benchmark.records.archive import load

    complete = tables_of(load(output).records).leaderboard.dropna(subset=["image_AUROC", "latency_ms"])
    assert len([tag for tag, _ in Page(text).tags if tag == "circle"]) == len(complete)


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (0.98765, "image_AUROC", "0.988"),
        (1234.56, "fit_seconds", "1,234.6"),
        (1_500_000_000, "peak_memory_bytes", "1.50 GB"),
        (46_000_000, "model_bytes", "46.0 MB"),
        (12_300, "model_bytes", "12.3 kB"),
        (1.23e-6, "pixel_binning_error", "1.2e-06"),
        (0.1, "contamination_ratio", "10.0%"),
        (30.0, "epochs", "30"),
        (30.5, "epochs", "30.5"),
        (3.0, "rank", "3"),
    ],
)
def test_numbers_read_as_in_the_spreadsheet(value: float, name: str, expected: str) -> None:
    assert format_number(value, column(name).format) == expected
