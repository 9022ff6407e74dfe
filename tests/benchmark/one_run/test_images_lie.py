"""A record says how the images lie, and the tables repeat it."""

from __future__ import annotations

import pytest

import extensions
from benchmark.one_run.images_lie import how_images_lie
from extensions.data.checks import position_check as checks
from extensions.data.checks.position_check import Position
from tests.benchmark.fabricated import make_record, tables_of
from tests.turned_plates import write_plates

REMARK = "Padim compares each place with the same place of other images, and the good images do not lie alike"


def build(name: str):
    return getattr(extensions, name)(backbone="test_resnet", pre_trained=False, evaluator=False, visualizer=False)


@pytest.fixture
def lying(monkeypatch):
    """Have the check find images that lie turned."""
    monkeypatch.setattr(checks, "position_check", lambda _: Position(0.38, 0.86, 0.7, 16))


def test_a_detector_bound_to_places_is_told(lying, tmp_path):
    data = extensions.MVTecAD(write_plates(tmp_path), "", name="plates", num_workers=0)
    data.setup()
    found = how_images_lie(build("Padim"), data)
    assert found["position_score"] == 0.38
    assert found["position_remark"].startswith(REMARK)
    assert how_images_lie(build("Patchcore"), data) == {}


def test_aligned_images_are_counted_and_timed(lying, tmp_path):
    data = extensions.MVTecAD(write_plates(tmp_path), "", name="plates", num_workers=0, align=True)
    data.setup()
    found = how_images_lie(build("Patchcore"), data)
    assert found["aligned"]
    assert found["n_unaligned"] == 0
    assert found["alignment_ms"] > 0


def test_the_tables_repeat_it():
    record = make_record(model="Padim")
    record["dataset"] |= {"position_score": 0.38, "position_remark": REMARK, "aligned": True, "n_unaligned": 2}
    record["dataset"] |= {"alignment_ms": 41.0}
    tables = tables_of([record, make_record()])
    warnings = tables.about.loc[tables.about["section"] == "Warnings", "value"].tolist()
    assert [one for one in warnings if REMARK in one] == [f"elpv mono: {REMARK}."]
    line = tables.leaderboard.set_index("model")
    assert REMARK in line.loc["Padim", "caution"]
    assert REMARK not in str(line.loc["Patchcore", "caution"])
    told = " ".join(tables.about.loc[tables.about["section"] == "Data sets", "value"])
    assert "2 could not be" in told
    assert "41 ms" in told
