from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.one_run.example_images import CANDIDATES, SIDE, ImageKeeper, draw

N = 200


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("images")
    Image.new("RGB", (40, 20), "gray").save(folder / "one.png")
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 2
    return pd.DataFrame({
        "path": str(folder / "one.png"), "image": [f"test/{i:03}.png" for i in range(N)], "label": labels,
        "score": rng.normal(labels * 2.0, 1.0),
    })  # fmt: skip


def kept(rows: pd.DataFrame, *, n: int = 2, batch: int = 7) -> ImageKeeper:
    keeper = ImageKeeper(n)
    for start in range(0, len(rows), batch):
        some = rows.iloc[start : start + batch]
        maps = np.ones((len(some), 600, 300), np.float32) * some["score"].to_numpy()[:, None, None]
        keeper.offer(some, maps, np.zeros(maps.shape, bool))
    return keeper


def medians(rows: pd.DataFrame) -> list[float | None]:
    return [float(rows.loc[rows["label"] == label, "score"].median()) for label in (0, 1)]


def named(keeper: ImageKeeper, rows: pd.DataFrame, threshold: float | None, **rest: float) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, one in keeper.chosen(medians(rows), threshold, **rest):
        found.setdefault(kind, []).append(one.image)
    return found


def test_missed_and_false_alarms_are_the_clearest_ones(rows: pd.DataFrame) -> None:
    found = named(kept(rows), rows, 1.0)
    bad, good = (rows[rows["label"] == label].sort_values("score")["image"].tolist() for label in (1, 0))
    assert found["missed"] == bad[:2]
    assert found["false alarm"] == good[-2:][::-1]


def test_typical_images_lie_near_the_median_of_their_class(rows: pd.DataFrame) -> None:
    found = named(kept(rows), rows, 1.0)
    for kind, label in (("typical good", 0), ("typical defective", 1)):
        ranks = rows[rows["label"] == label].set_index("image")["score"].rank(pct=True)
        assert len(found[kind]) == 2
        assert all(abs(ranks[image] - 0.5) < 3 / CANDIDATES for image in found[kind])


def test_choice_depends_neither_on_batches_nor_on_order(rows: pd.DataFrame) -> None:
    assert named(kept(rows), rows, 1.0) == named(kept(rows.iloc[::-1], batch=13), rows, 1.0)


@pytest.mark.parametrize(
    ("threshold", "kinds"),
    [
        (None, {"typical good", "typical defective"}),
        (-99.0, {"false alarm", "typical good", "typical defective"}),
        (99.0, {"missed", "typical good", "typical defective"}),
    ],
)
def test_only_what_the_threshold_makes_wrong_is_called_wrong(
    rows: pd.DataFrame, threshold: float | None, kinds: set[str]
) -> None:
    assert set(named(kept(rows), rows, threshold)) == kinds


def test_between_two_thresholds_nothing_is_a_false_alarm(rows: pd.DataFrame) -> None:
    assert "false alarm" not in named(kept(rows), rows, 1.0, upper=99.0)


def test_no_image_is_drawn_twice_and_memory_is_bounded(rows: pd.DataFrame) -> None:
    few = rows.iloc[:4]
    keeper = kept(few, n=3)
    chosen = [one.image for _, one in keeper.chosen(medians(few), 0.0)]
    assert len(chosen) == len(set(chosen)) == 4
    many = kept(rows).chosen(medians(rows), 1.0)
    assert {one.heat.shape for _, one in many if one.heat is not None} == {(SIDE, SIDE // 2)}


def test_panels_keep_the_proportions_of_the_image(rows: pd.DataFrame, tmp_path: Path) -> None:
    listed = draw(kept(rows).chosen(medians(rows), 1.0), tmp_path, map_range=(0.0, 1.0))
    assert [panel.panel for panel in listed[:2]] == ["images/missed-0.jpg", "images/missed-1.jpg"]
    with Image.open(tmp_path / listed[0].panel) as panel:
        assert panel.size == (3 * SIDE + 8, SIDE // 2)
        assert panel.format == "JPEG"


def test_images_of_an_earlier_round_do_not_stay(rows: pd.DataFrame, tmp_path: Path) -> None:
    chosen = kept(rows).chosen(medians(rows), 1.0)
    draw(chosen, tmp_path, map_range=(0.0, 1.0))
    listed = draw(chosen[:1], tmp_path, map_range=(0.0, 1.0))
    assert [path.name for path in (tmp_path / "images").iterdir()] == [Path(panel.panel).name for panel in listed]


def test_nothing_is_kept_where_nothing_is_asked_for(rows: pd.DataFrame) -> None:
    assert kept(rows, n=0).chosen(medians(rows), 1.0) == []
