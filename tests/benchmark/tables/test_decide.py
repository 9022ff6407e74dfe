"""Which detector is recommended, why, and what would make it surer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import benchmark
from benchmark.statistics.rates import none_seen_bound
from benchmark.statistics.requirement import STANDARD, Cost, Requirement
from benchmark.statistics.thresholds import fit_cross_conformal
from benchmark.tables.decide import with_examples
from benchmark.tables.next_steps import images_to_show
from benchmark.tables.required import newest_requirement, parse_requirement
from tests.benchmark.fabricated import as_record, make_plan, make_record, write
from tests.benchmark.report.decided import make_decision, make_example, make_row
from tests.benchmark.tables.fabricated_scores import scored, tables_in


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    output = tmp_path_factory.mktemp("out")
    sizes = {"Patchcore": (2.6, 80e6), "Padim": (2.5, 20e6), "Cflow": (0.4, 10e6)}
    for noise, (model, (gap, size)) in enumerate(sizes.items()):
        memory = {"peak_memory_bytes": 1_500_000_000, "model_bytes": int(size)}
        scored(output, model=model, gap=gap, noise=noise, memory=memory)
    return output


def test_without_a_requirement_rank_1_is_recommended_and_ties_are_named_with_what_they_are_better_at(output):
    (one,) = tables_in(output).decisions
    best, tied = one.recommendation
    assert best.startswith("Patchcore, resnet18 has the highest image AUROC of 3 ranked detectors")
    assert tied == "Padim, resnet18 cannot be told from it and is 4 times smaller."
    assert [row.label for row in one.leading] == ["Patchcore, resnet18", "Padim, resnet18"]
    assert [point.requirement.told for point in one.points] == [
        "at most 5 % false alarms", "at most 1 % false alarms", "no defect missed"
    ]  # fmt: skip
    assert any("requirement:" in text for text in one.next_steps)
    assert any(text.startswith("One seed") for text in one.how_sure)
    assert "chosen among 3 detectors by these test images" in one.how_sure[-1]


def test_a_requirement_recommends_who_meets_it_best(output):
    asked = Requirement(max_missed=0.05)
    tables = tables_in(output, requirement=asked)
    (one,) = tables.decisions
    board = tables.leaderboard.set_index("model")["false_alarms"]
    assert one.leading[0].model == board.idxmin()
    assert "has the fewest false alarms" in one.recommendation[0]
    point, thresholds = one.points[0], one.leading[0].thresholds
    assert (point.requirement, point.false_alarms) == (asked, board.min())
    defective = one.leading[0].scores.query("label == 1")["score"]
    assert (defective < thresholds.lower).mean() <= 0.05


def test_a_cost_is_told(output):
    asked = Requirement(cost=Cost(missed=500, false_alarm=3, defect_rate=0.004))
    tables = tables_in(output, requirement=asked)
    (one,) = tables.decisions
    costs = tables.leaderboard.set_index("model")["cost_per_1000"]
    assert one.leading[0].model == costs.idxmin()
    assert f"{costs.min():,.1f} for 1,000 parts" in one.recommendation[0]


def test_two_rates_prefer_the_least_unsure(output):
    tables = tables_in(output, requirement=Requirement(max_missed=0.05, max_false_alarms=0.05))
    (one,) = tables.decisions
    assert one.leading[0].model == tables.leaderboard.set_index("model")["unsure"].idxmin()
    assert one.leading[0].thresholds.lower <= one.leading[0].thresholds.upper


def test_drawn_defects_are_said_to_be_drawn(tmp_path):
    scored(tmp_path, gap=2.0, synthetic=True)
    (one,) = tables_in(tmp_path).decisions
    assert one.dataset == "elpv (synthetic)"
    assert one.recommendation[0].startswith("On drawn defects")
    assert "only detector with a rank" in one.recommendation[1]


def test_where_nothing_has_a_rank_the_decision_says_why(tmp_path):
    scored(tmp_path, gap=2.0, converged=False)
    (one,) = tables_in(tmp_path).decisions
    assert one.recommendation == ("No detector has all of its runs finished and converged yet.",)
    assert (one.points, one.command) == ((), "")


def test_the_command_exports_the_best_seed(tmp_path):
    runs = [scored(tmp_path, gap=gap, seed=seed, noise=seed) for seed, gap in enumerate((1.0, 2.0, 1.5))]
    (one,) = tables_in(tmp_path).decisions
    assert f"--run {runs[1]['key']}" in one.command
    assert one.leading[0].key == runs[1]["key"]
    assert not any("Run 3 seeds" in text for text in one.next_steps)
    assert with_examples(one, ()).examples == ()


def test_a_row_without_scores_is_not_said_to_be_told_apart(tmp_path):
    kept = scored(tmp_path, model="Patchcore", gap=3.0)
    gone = scored(tmp_path, model="Padim", gap=0.2, noise=1)
    (tmp_path / gone["folder"] / "scores.csv").unlink()
    (one,) = tables_in(tmp_path, requirement=Requirement(max_false_alarms=0.1)).decisions
    assert one.leading[0].key == kept["key"]
    assert "Padim, resnet18 cannot be told from it" in one.recommendation[1]


def test_thresholds_of_a_decision_are_those_that_an_export_fits(tmp_path):
    record = scored(tmp_path, model="Patchcore", gap=2.0)
    rows = pd.DataFrame(
        {"image": [f"t{i}" for i in range(40)], "label": 0, "kind": "good", "score": np.arange(40) / 20}
    )
    rows["fold"] = np.arange(40) % 4
    rows.to_csv(tmp_path / record["folder"] / "calibration.csv", index=False)
    record["files"]["calibration"] = "calibration.csv"
    write(tmp_path, [record])
    asked = Requirement(max_false_alarms=0.1, cross_conformal=4)
    (one,) = tables_in(tmp_path, requirement=asked).decisions
    assert one.leading[0].thresholds.source == fit_cross_conformal(rows["score"].to_numpy(), asked).source
    without = Requirement(max_false_alarms=0.1, cross_conformal=5)
    (one,) = tables_in(tmp_path, requirement=without).decisions
    assert one.leading[0].thresholds is None
    assert any("no training images that were scored in folds" in text for text in one.how_sure)


def test_decisions_are_read_at_a_requirement_as_a_configuration_has_it(output):
    (one,) = benchmark.read_decisions(output, requirement={"max_missed": 0.05})
    assert one.points[0].requirement == Requirement(max_missed=0.05)
    assert benchmark.read_decisions(str(output))[0].points[0].requirement == STANDARD[0]
    with pytest.raises(ValueError, match="expected a share from 0 to 1"):
        benchmark.read_decisions(output, requirement={"max_missed": 5})


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05, 0.3])
def test_images_to_show_a_rate_are_the_fewest(rate):
    n = images_to_show(rate)
    assert none_seen_bound(n) <= rate < none_seen_bound(n - 1)


def test_the_requirement_is_that_of_the_plan_whose_runs_are_newest():
    old, new = make_record(seed=0), make_record(seed=1, started="2026-03-01T00:00:00+00:00")
    plans = [make_plan(new) | {"requirement": {"max_missed": 0.0}}, make_plan(old) | {"sweep": "old"}]
    from benchmark.records.sweep_plan import SweepPlan

    found = newest_requirement([SweepPlan.model_validate(plan) for plan in plans], [as_record(old), as_record(new)])
    assert found == Requirement(max_missed=0.0)
    assert newest_requirement([], []) is None


def test_of_plans_for_the_same_runs_the_requirement_is_the_one_that_they_keep():
    run = make_record()
    run["thresholds"] |= {"requirement": {"max_missed": 0.0}}
    plans = [make_plan(run), make_plan(run) | {"requirement": {"max_missed": 0.0}}]
    from benchmark.records.sweep_plan import SweepPlan

    for order in (plans, plans[::-1]):
        found = newest_requirement([SweepPlan.model_validate(plan) for plan in order], [as_record(run)])
        assert found == Requirement(max_missed=0.0)


def test_examples_are_called_what_the_thresholds_of_the_decision_make_of_them():
    one = replace(make_decision(), leading=(make_row(lower=1.5, upper=1.5),))
    drawn = [
        replace(make_example("false alarm"), truth="good", called="defective", score=1.2, threshold=1.0),
        replace(make_example("typical good"), truth="good", called="good", score=1.6, threshold=1.7),
        replace(make_example("typical defective"), truth="defective", called="defective", score=1.4, threshold=1.0),
        replace(make_example("missed"), truth="defective", called="good", score=1.9, threshold=2.0),
    ]
    found = with_examples(one, drawn).examples
    assert [(image.kind, image.called, image.score) for image in found] == [
        ("missed", "good", 1.4), ("false alarm", "defective", 1.6)
    ]  # fmt: skip
    assert {image.threshold for image in found} == {1.5}


def test_a_requirement_of_the_command_line_is_read_and_a_wrong_one_refused_in_a_sentence():
    assert parse_requirement([]) is None
    assert parse_requirement(["max_false_alarms=0.02"]) == Requirement(max_false_alarms=0.02)
    cost = ["cost.missed=500", "cost.false_alarm=3", "cost.defect_rate=0.004"]
    assert parse_requirement(cost) == Requirement(cost=Cost(missed=500, false_alarm=3, defect_rate=0.004))
    for wrong, told in ((["max_missed=1.5"], "from 0 to 1"), (["max_missed=0", *cost], "both"), (["x"], "expected")):
        with pytest.raises(ValueError, match=told):
            parse_requirement(wrong)
