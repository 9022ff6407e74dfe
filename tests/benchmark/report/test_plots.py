"""Plots of refinements: every strategy and condition has its place, and what was not measured has none."""

import pytest

from benchmark.api.output_tables import write_tables
from benchmark.report.plots import plot_ranking, plot_rounds
from benchmark.tables.refinement_frames import refinement_frame
from tests.benchmark.fabricated import make_record, make_refinement, rounds_of, write


@pytest.fixture
def records():
    gains = {"oracle": 0.08, "consensus": 0.06, "random": 0.0}
    return [
        make_refinement(name, seed, auroc=0.5 + gain, gain=gain, ratio=ratio, retrain="ends" if gain > 0.07 else "last")
        for name, gain in gains.items()
        for seed in (0, 1)
        for ratio in (0.1, 0.15)
    ]


def texts(path):
    """What an SVG of matplotlib says: each text is drawn, and kept as a comment."""
    return [line.strip()[5:-4] for line in path.read_text(encoding="utf-8").splitlines() if "<!-- " in line]


def test_every_strategy_and_condition_is_drawn(records, tmp_path):
    plot_ranking(refinement_frame(rounds_of(records)), tmp_path / "ranking.svg")
    told = texts(tmp_path / "ranking.svg")
    assert {"oracle", "consensus", "random", "10% defects", "15% defects", "tiles"} <= set(told)
    assert told.index("random") < told.index("consensus") < told.index("oracle")


def test_rounds_have_a_panel_for_each_condition(records, tmp_path):
    plot_rounds(rounds_of(records), tmp_path / "rounds.svg")
    told = texts(tmp_path / "rounds.svg")
    assert told.count("no removal") == told.count("consensus") == 2
    assert {"tiles, 10% defects", "tiles, 15% defects", "Patchcore resnet18"} <= set(told)


def test_a_strategy_with_two_rules_has_two_lines(records, tmp_path):
    other = make_refinement("consensus", 0, auroc=0.5, gain=0.1)
    other["experiment"]["refinement"]["rule"] = "fixed_share"
    plot_rounds(rounds_of([*records, other | {"experiment_id": "other"}]), tmp_path / "rounds.svg")
    assert {"consensus, mad", "consensus, fixed_share"} <= set(texts(tmp_path / "rounds.svg"))


def test_nothing_measured_is_said(records, tmp_path):
    rounds = rounds_of(records)
    with pytest.raises(ValueError, match="No round has pixel_AUROC"):
        plot_rounds(rounds, tmp_path / "rounds.png", metric="pixel_AUROC")
    with pytest.raises(ValueError, match="nothing was injected"):
        plot_ranking(refinement_frame(rounds).assign(score_auroc=None), tmp_path / "ranking.png")
    assert not list(tmp_path.iterdir())


def test_the_tables_of_refinements_come_with_their_plots(records, tmp_path):
    whole = [make_record(seed=number) for number in range(len(records))]
    for record, refined in zip(whole, records, strict=True):
        record["refinement"] = refined["refinement"]
        record["experiment"] |= {"refinement": refined["experiment"]["refinement"]}
    written = write_tables(write(tmp_path, whole), formats=())
    assert [path.name for path in written] == ["refinement_ranking.png", "refinement_image_AUROC.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in written)


def test_without_refinements_there_are_no_plots(tmp_path):
    assert write_tables(write(tmp_path, [make_record()]), formats=()) == []
