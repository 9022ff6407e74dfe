from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from benchmark.api.output_tables import write_tables
from benchmark.metrics.columns import column
from benchmark.metrics.decision_columns import DIFFERENCES
from benchmark.report.html import MAX_DIFFERENCES, format_number, write_html
from benchmark.statistics.many_categories import overall_ranking
from benchmark.statistics.operating_point import OperatingPoint
from benchmark.statistics.requirement import STANDARD
from benchmark.tables.decision import Decision, LeadingRow, Thresholds
from benchmark.tables.gallery import GalleryImage
from tests.benchmark.fabricated import make_record, make_sweep, tables_of, write

EVIL = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Cells of each table, every tag with its attributes, and the text."""

    VOID = frozenset({"meta", "input", "br", "img", "line", "circle", "rect", "polyline", "wbr"})

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
    for keys in board.loc[board["rank"] == 1, "run_keys"]:
        assert any(f"workbench export --run {key} " in best for key in keys.split(";"))


def test_every_complete_row_is_a_point_in_a_chart(text: str, output: Path) -> None:
    from benchmark.records.archive import load

    complete = tables_of(load(output).records).leaderboard.dropna(subset=["image_AUROC", "latency_ms"])
    marks = [attributes for tag, attributes in Page(text).tags if tag == "circle"]
    assert len([one for one in marks if "color" in str(one["class"])]) == len(complete)


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


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def example(kind: str, label: int) -> GalleryImage:
    jpeg = BytesIO()
    Image.new("RGB", (520, 256), "gray").save(jpeg, "JPEG")
    return GalleryImage(
        dataset=EVIL, category="", rank=1, detector="Padim", kind=kind, truth=("good", "defective")[label],
        called="defective", score=3.0, threshold=2.0, image=f"{EVIL}.png", jpeg=jpeg.getvalue(), size=(520, 256),
        file="runs/a b/images/missed-0.jpg", key="k",
    )  # fmt: skip


def decision() -> Decision:
    scores = pd.DataFrame({"label": [0, 0, 1, 1], "score": [1.0, 2.0, 1.5, 3.0]})
    row = LeadingRow(
        label=EVIL, model="Padim", backbone="resnet18", settings="", place="1–2", key="k", scores=scores,
        thresholds=Thresholds(lower=1.2, upper=2.5, source=EVIL),
    )  # fmt: skip
    points = tuple(
        OperatingPoint(requirement=one, missed=7, n_defective=40, missed_interval=(0.07, 0.33), false_alarms=2,
                       n_good=60, false_alarm_interval=(0.004, 0.115), note=EVIL)
        for one in STANDARD
    )  # fmt: skip
    return Decision(
        dataset=EVIL, recommendation=(f"Padim, {EVIL}.", "It is the smallest."), points=points,
        how_sure=(f"Sure {EVIL}.",), next_steps=(f"Next {EVIL}.",), leading=(row, replace(row, place="1–2")),
        examples=(example("missed", 1), example("typical good", 0)), command=f"workbench export --run '{EVIL}'",
    )  # fmt: skip


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a decision, differences and a gallery."""
    tables = tables_of(make_sweep())
    names = ("dataset", "metric", "first", "second", "difference", "low", "high", "p_adjusted", "told_apart")
    pairs = [("bottle", "image_AUROC", "a", f"b{i}", 0.02, -0.01, 0.05, 0.2, "no") for i in range(MAX_DIFFERENCES)]
    pairs += [("bottle", "image_AUROC", "b0", f"c{i}", 0.02, -0.01, 0.05, 0.2, "no") for i in range(9)]
    path = tmp_path_factory.mktemp("page") / "leaderboard.html"
    overall = overall_ranking(pd.DataFrame({"a": range(6), "b": range(1, 7), "c": range(-1, 5)}).astype(float))
    assert not isinstance(overall, str)
    filled = replace(
        tables,
        overall=overall,
        decisions=[decision()],
        gallery=list(decision().examples),
        differences=pd.DataFrame(pairs, columns=names).reindex(columns=list(DIFFERENCES)),
    )
    write_html(filled, path, Path("output"))
    return path


def test_the_page_opens_with_the_decision(decided: Path) -> None:
    text = decided.read_text(encoding="utf-8")
    opening = text.split('id="leaderboard"')[0]
    assert EVIL not in text
    assert "It is the smallest." in opening
    assert "7 of 40" in opening
    assert "175 of 1,000 defects, between 70 and 330" in opening
    page = Page(text)
    assert page.open == []
    assert f"workbench export --run '{EVIL}'" in [attributes.get("data-command") for _, attributes in page.tags]
    assert opening.count("<polyline") == 2 * (2 + 2 + 1)  # thresholds, chance and ROC, precision-recall; of two rows


def test_images_have_words_and_lead_to_their_file(decided: Path) -> None:
    tags = Page(decided.read_text(encoding="utf-8")).tags
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert ["svg" in str(image["src"]) for image in images] == [False, False, True, False, False]
    assert all(str(image["src"]).startswith("data:image/") for image in images)
    assert sum(EVIL in str(image["alt"]) for image in images) == 4
    assert {attributes["href"] for tag, attributes in tags if tag == "a"} == {"runs/a%20b/images/missed-0.jpg"}


def test_of_many_differences_the_page_has_those_with_the_first_row(decided: Path) -> None:
    text = decided.read_text(encoding="utf-8")
    rows = Page(text).tables["differences"][1:]
    assert {row[2] for row in rows} == {"a"}
    assert len(rows) == MAX_DIFFERENCES
    assert f"all {MAX_DIFFERENCES + 9} are in the spreadsheet" in text


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [1366, 390])
def test_the_page_does_not_scroll_sideways(decided: Path, width: int) -> None:
    frame = decided.with_name(f"frame-{width}.html")
    frame.write_text(
        f"""<iframe src="{decided.name}" width="{width}" height="800"></iframe><script>
        document.querySelector("iframe").onload = (event) => {{
            const page = event.target.contentDocument;
            page.querySelectorAll("details").forEach((one) => {{ one.open = true; }});
            const board = page.getElementById("leaderboard").parentElement;
            document.title = [page.documentElement.scrollWidth, event.target.contentWindow.innerWidth,
                              board.scrollWidth, board.clientWidth].join(" ");
        }};</script>""",
        encoding="utf-8",
    )
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom",
             f"--user-data-dir={decided.parent / 'profile'}")  # fmt: skip
    found = subprocess.run(
        [str(CHROMIUM), *flags, frame.as_uri()], capture_output=True, text=True, check=True, timeout=60
    )
    told = re.search(r"<title>(\d+) (\d+) (\d+) (\d+)</title>", found.stdout)
    assert told is not None, found.stdout
    of_page, window, of_board, its_box = map(int, told.groups())
    assert (of_page <= window, of_board <= its_box) == (True, True), told[0]
    assert window == width
