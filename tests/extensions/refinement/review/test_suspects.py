from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from extensions.refinement.review.suspects import read_review, write_suspects

NASTY = (
    "=cmd|calc.png",
    "+1.png",
    "-2.png",
    "@sum.png",
    "'quoted'.png",
    " leading.png",
    "tab\t.png",
    "a b/<script>alert(1)<&amp;.png",
    "a b/comma, and \"quotes\" and 'more'.png",
    "a b/semicolon;=1+1.png",
    "a b/Prüfling Ä.png",
    "a b/new\nline.png",
    "a b/return\rthere.png",
    "<!--<script>.png",
    "not UTF-8 \udcfc.png",
)


class Page(HTMLParser):
    """Tags with their attributes, which must close in order, and the text of a page."""

    VOID = frozenset({"meta", "input", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, str] = {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data

    def all(self, tag: str, look: str = "") -> list[dict[str, str | None]]:
        return [found for name, found in self.tags if name == tag and look in (found.get("class") or "")]

    @property
    def data(self) -> dict[str, list[str]]:
        return json.loads(self.text["script"].partition('"use strict";')[0])


def table(names: Sequence[str], *, n_removed: int = 0, injected: object = None, keep: object = "") -> pd.DataFrame:
    """Suspects of descending score, half of those removed in the first round, the others in the second."""
    rounds = [1 + (2 * i >= n_removed) for i in range(n_removed)] + [None] * (len(names) - n_removed)
    scores = np.linspace(3, 1, len(names))
    return pd.DataFrame(
        {"image": names, "score": scores, "removed_in_round": rounds, "injected": injected, "keep": keep}
    )


def write(frame: pd.DataFrame, folder: Path, *, heat: object = None, **options: object) -> Page:
    """The page of suspects that all are one grey image, unless ``image`` is given."""
    grey = folder / "grey.png"
    folder.mkdir(exist_ok=True)
    Image.new("L", (64, 48), 128).save(grey)
    given = {"image": lambda _: grey, "heat": heat or (lambda _: None), "title": "made up", "facts": {}} | options
    write_suspects(frame, folder, **given)
    return Page((folder / "suspects.html").read_text(encoding="utf-8"))


def decoded(source: str | None) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(str(source).partition("base64,")[2])))


def hottest(source: str | None) -> tuple[int, ...]:
    """RGBA of the most opaque pixel of a heat map."""
    pixels = np.asarray(decoded(source).convert("RGBA")).reshape(-1, 4)
    return tuple(int(value) for value in pixels[pixels[:, 3].argmax()])


def test_table_has_the_columns_and_a_line_for_every_image(tmp_path: Path) -> None:
    names = [f"train/good/{i:03}.png" for i in range(100)]
    frame = table(names, n_removed=3, injected=[True, False] * 50)
    frame["keep"] = [True, False, *[None] * 98]
    write(frame, tmp_path)
    with (tmp_path / "suspects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "score", "removed_in_round", "injected", "keep"]
    assert [row[0] for row in rows[1:]] == names
    assert [float(row[1]) for row in rows[1:]] == frame["score"].tolist()
    assert [row[2:] for row in rows[1:5]] == [
        ["1", "true", "yes"],
        ["1", "false", "no"],
        ["2", "true", ""],
        ["", "false", ""],
    ]


@pytest.mark.parametrize("blank", [None, "", np.nan, pd.NA])
def test_blanks_of_every_kind_stay_blank(tmp_path: Path, blank: object) -> None:
    frame = pd.DataFrame({"image": ["a.png"]}).assign(score=0.5, removed_in_round=blank, injected=blank, keep=blank)
    write(frame, tmp_path)
    assert (tmp_path / "suspects.csv").read_text(encoding="utf-8").splitlines()[1] == "a.png,0.5,,,"


def test_names_of_every_kind_come_back_and_none_is_a_formula(tmp_path: Path) -> None:
    page = write(table(NASTY, n_removed=4), tmp_path)
    with (tmp_path / "suspects.csv").open(encoding="utf-8", newline="") as file:
        cells = [row[0] for row in csv.reader(file)]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r '"]
    expected = {name: i >= 4 for i, name in enumerate(NASTY)}
    assert read_review(tmp_path / "suspects.csv", NASTY) == expected
    assert len(page.all("script")) == 2, "a name opened a tag"


def test_what_the_page_saves_is_the_table(tmp_path: Path) -> None:
    frame = table(NASTY, n_removed=2)
    frame.loc[3, "keep"] = "no"
    data = write(frame, tmp_path).data
    lines = [data["header"], *(facts + answer for facts, answer in zip(data["lines"], data["answers"], strict=True))]
    saved = "".join(f"{line}\n" for line in lines)
    assert saved.encode("utf-8") == (tmp_path / "suspects.csv").read_bytes()
    assert data["removed"] == [True, True, *[False] * (len(NASTY) - 2)]


def test_page_needs_nothing_beside_it(tmp_path: Path) -> None:
    page = write(table(NASTY), tmp_path, heat=lambda _: np.eye(4), title="<b>t</b>", facts={"<i>": "<u>&</u>"})
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "srcset"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, name)
    assert not re.search(r"https?://|@import|url\(", (tmp_path / "suspects.html").read_text(encoding="utf-8"))
    assert not {"b", "i", "u"} & {tag for tag, _ in page.tags}
    assert page.text["h1"] == "Suspects: <b>t</b>"


def test_every_control_and_image_has_a_name(tmp_path: Path) -> None:
    page = write(table(["a.png", "b.png"], n_removed=1), tmp_path, heat=lambda _: np.eye(4))
    assert all("alt" in image for image in page.all("img"))
    assert [image["alt"] for image in page.all("img", "plain")] == ["Image a.png", "Image b.png"]
    identifiers = {found["id"] for _, found in page.tags if "id" in found}
    assert all(article["aria-labelledby"] in identifiers for article in page.all("article"))
    assert [group["aria-label"] for group in page.all("div", "choice")] == ["Verdict on a.png", "Verdict on b.png"]


@pytest.mark.parametrize(("n_removed", "n_shown", "expected"), [(0, 60, 60), (10, 60, 60), (50, 60, 74), (2, 10, 26)])
def test_all_removed_are_shown_and_at_least_24_of_those_kept(
    tmp_path: Path, n_removed: int, n_shown: int, expected: int
) -> None:
    page = write(table([f"{i}.png" for i in range(100)], n_removed=n_removed), tmp_path, n_shown=n_shown)
    shown = [int(str(article["data-index"])) for article in page.all("article")]
    assert shown == list(range(expected))
    assert [article["data-removed"] for article in page.all("article")].count("yes") == n_removed


def test_an_image_that_a_person_answered_is_shown_however_harmless(tmp_path: Path) -> None:
    frame = table([f"{i}.png" for i in range(100)])
    frame.loc[97, "keep"] = "no"
    shown = [article["data-index"] for article in write(frame, tmp_path, n_shown=30).all("article")]
    assert shown == [*map(str, range(30)), "97"]


def test_heat_has_one_scale_for_the_whole_page(tmp_path: Path) -> None:
    def heat(name: str) -> np.ndarray:
        values = np.zeros((8, 8))
        values[:4, :2] = {"hot.png": 10.0, "warm.png": 5.0, "cold.png": 0.0}[name]
        return values

    page = write(table(["hot.png", "warm.png", "cold.png"]), tmp_path, heat=heat)
    hot, warm, cold = (hottest(image["src"]) for image in page.all("img", "heat"))
    assert hot[3] > 1.5 * warm[3] > 1.5 * cold[3]
    assert cold[3] == 0, "what is cold does not cover the image"
    assert hot[0] > 2 * hot[2], "hot is red"


def test_heat_maps_that_are_flat_missing_or_not_finite_are_drawn_or_left_out(tmp_path: Path) -> None:
    maps = {
        "flat.png": np.ones((3, 3)),
        "none.png": None,
        "nan.png": np.full((3, 3), np.nan),
        "inf.png": np.array([[np.inf, 1.0]]),
        "large.png": np.ones((600, 400), dtype=np.float16),
    }
    page = write(table(list(maps)), tmp_path, heat=maps.__getitem__)
    assert len(page.all("img", "plain")) == 5
    assert [decoded(image["src"]).size for image in page.all("img", "heat")] == [(3, 3), (3, 3), (2, 1), (107, 160)]


def test_heat_of_another_shape_is_refused_with_the_name_of_its_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"heat map of a\.png has the shape \(1, 4, 4\); expected \(h, w\)"):
        write(table(["a.png"]), tmp_path, heat=lambda _: np.zeros((1, 4, 4)))


def test_thumbs_are_upright_large_enough_and_of_the_full_range(tmp_path: Path) -> None:
    sideways = Image.Exif()
    sideways[0x0112] = 6
    Image.new("RGB", (800, 400)).save(tmp_path / "exif.jpg", exif=sideways)
    deep = np.full((500, 500), 32768, dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "tiny.png")
    Image.new("RGB", (4000, 200)).save(tmp_path / "wide.png")
    page = write(table(["exif.jpg", "deep.png", "tiny.png", "wide.png"]), tmp_path, image=tmp_path.joinpath)
    images = page.all("img", "plain")
    assert [(image["width"], image["height"]) for image in images] == [
        ("226", "453"),
        ("320", "320"),
        ("320", "320"),
        ("640", "32"),
    ]
    assert decoded(images[0]["src"]).size == (226, 453)
    assert np.asarray(decoded(images[1]["src"])).mean() == pytest.approx(128, abs=2)


def test_an_image_that_went_away_gets_a_card_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    frame = table(["gone.png", "broken.png"], n_removed=1)
    page = write(frame, tmp_path, image=tmp_path.joinpath, heat=lambda _: np.eye(2))
    assert "cannot be shown: no such file" in page.text["p"]
    assert len(page.all("article")) == len(page.all("div", "choice")) == 2
    assert str(tmp_path) not in (tmp_path / "suspects.html").read_text(encoding="utf-8")


def test_no_images_at_all_make_a_page_that_says_so(tmp_path: Path) -> None:
    page = write(table([]), tmp_path)
    assert "There are no training images." in page.text["p"]
    assert (tmp_path / "suspects.csv").read_text(encoding="utf-8") == "image,score,removed_in_round,injected,keep\n"


def test_missing_columns_are_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks score, injected; expected the columns image, score"):
        write(table(["a.png"]).drop(columns=["score", "injected"]), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["grey.png"]


def test_a_page_that_fails_leaves_the_old_page_whole_and_no_scraps(tmp_path: Path) -> None:
    write(table(["a.png"]), tmp_path)
    before = (tmp_path / "suspects.html").read_bytes()

    def heat(_: str) -> np.ndarray:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(table(["b.png"]), tmp_path, heat=heat)
    assert (tmp_path / "suspects.html").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"grey.png", "suspects.csv", "suspects.html"}


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "suspects.csv").mkdir()
    with pytest.raises(OSError, match=r"suspects\.csv could not be written: .*output folder"):
        write(table(["a.png"]), tmp_path)
    assert not list(tmp_path.glob(".suspects*"))


def test_answers_of_a_person_are_set_aside_and_a_table_without_is_replaced(tmp_path: Path) -> None:
    write(table(["a.png", "b.png"]), tmp_path)
    write(table(["b.png", "a.png"]), tmp_path)
    assert len(list(tmp_path.glob("*.csv"))) == 1
    answered = "image,score,removed_in_round,injected,keep\na.png,0.5,,,no\n"
    (tmp_path / "suspects.csv").write_text(answered, encoding="utf-8")
    write(table(["a.png"], keep="no"), tmp_path)
    assert len(list(tmp_path.glob("*.csv"))) == 1, "the new table has the same answers"
    write(table(["a.png"]), tmp_path)
    (tmp_path / "suspects.csv").write_text(answered.replace(",", ";"), encoding="utf-8")
    write(table(["a.png"]), tmp_path)
    assert (tmp_path / "suspects-1.csv").read_text(encoding="utf-8").endswith("no\n")
    assert (tmp_path / "suspects-2.csv").read_text(encoding="utf-8").startswith("image;score")


def test_user_images_are_untouched(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(data / name)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.iterdir()}
    write(table(["a.png", "b.png"], n_removed=1), tmp_path / "out", image=data.joinpath)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in data.iterdir()} == before
