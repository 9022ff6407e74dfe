"""What the tables say of refinements, from made-up records with numbers that can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmark.tables.refinement_frames import REFINEMENT, ROUNDS, refinement_frame
from tests.benchmark.fabricated import make_record, rounds_of
from tests.benchmark.fabricated import make_refinement as record


@pytest.fixture
def frame():
    gains = {"none": 0.0, "random": 0.0, "consensus": 0.06, "oracle": 0.08, "entropy": -0.02}
    aurocs = {"none": 0.5, "random": 0.5, "consensus": 0.95, "oracle": 1.0, "entropy": 0.2}
    records = [
        record(name, seed, auroc=aurocs[name] + seed / 100, gain=gains[name] + seed / 1000)
        for name in ("random", "consensus", "oracle", "entropy")
        for seed in (0, 1, 2)
    ]
    return refinement_frame(rounds_of(records)).set_index("strategy")


def test_each_strategy_is_compared_with_random_by_seed(frame):
    assert list(frame.reset_index()[list(REFINEMENT)].columns) == list(REFINEMENT)
    assert frame["n_seeds"].tolist() == [3] * 4
    assert frame["score_auroc"]["consensus"] == pytest.approx(0.96)
    assert frame["score_auroc_std"]["consensus"] == pytest.approx(0.01)
    assert frame["beats_random"]["consensus"] == "yes"
    assert frame["beats_random"]["entropy"] == "no"
    assert pd.isna(frame["beats_random"]["random"])


def test_gains_are_paired_and_compared_with_the_oracle(frame):
    assert frame["image_AUROC"]["consensus"] == pytest.approx(0.961)
    assert frame["image_AUROC_gain"]["consensus"] == pytest.approx(0.061)
    assert frame["image_AUROC_gain_se"]["consensus"] == pytest.approx(0.001 / np.sqrt(3))
    assert frame["image_AUROC_recovered"]["consensus"] == pytest.approx(0.061 / 0.081)
    assert frame["image_AUROC_recovered"]["oracle"] == 1
    assert pd.isna(frame["pixel_AUROC"]["consensus"])


def test_a_detector_trained_last_only_is_compared_with_that_of_all_images():
    whole = [record("oracle", seed, auroc=1.0, gain=0.1, base=0.8 + seed / 10) for seed in (0, 1)]
    last = [record("consensus", seed, auroc=0.9, gain=0.05, base=0.8 + seed / 10, retrain="last") for seed in (0, 1)]
    frame = refinement_frame(rounds_of(whole + last)).set_index("strategy")
    assert frame["image_AUROC_gain"]["consensus"] == pytest.approx(0.05)
    alone = refinement_frame(rounds_of(last)).set_index("strategy")
    assert pd.isna(alone["image_AUROC_gain"]["consensus"])
    assert alone["image_AUROC"]["consensus"] == pytest.approx(0.9)


def test_realised_ratios_that_differ_by_seed_are_one_condition(frame):
    assert frame["contamination_ratio"].nunique() == 1
    assert frame["contamination_ratio"].iloc[0] == pytest.approx(0.099)


def test_conditions_and_rankings_without_a_detector_stay_apart():
    records = [
        record("oracle", 0, auroc=1.0, gain=0.1, ratio=0.1),
        record("oracle", 0, auroc=1.0, gain=0.1, ratio=0.15),
        record("oracle", 0, auroc=1.0, gain=0.1, ratio=0.1, retrain="never"),
    ]
    frame = refinement_frame(rounds_of(records))
    assert sorted(frame["detector"]) == ["Patchcore resnet18", "Patchcore resnet18", "ranking only"]
    assert frame["image_AUROC_recovered"].isna().all()  # one seed has no standard error
    assert frame.loc[frame["detector"] == "ranking only", "image_AUROC"].isna().all()


def test_settings_of_a_detector_are_not_mixed():
    records = [record("consensus", 0, auroc=value, gain=0) for value in (0.6, 0.8)]
    for number, one in enumerate(records):
        one["settings"] = f"temperature=0.{number + 1}, strategy=consensus, rule=mad"
        one["experiment"]["model"] = {"init_args": {"temperature": (number + 1) / 10}}
        one["experiment_id"] = one["key"] = str(number)
    frame = refinement_frame(rounds_of(records)).set_index("detector")
    assert frame["score_auroc"]["Patchcore resnet18, temperature=0.1"] == pytest.approx(0.6)
    assert frame["score_auroc"]["Patchcore resnet18, temperature=0.2"] == pytest.approx(0.8)


def test_only_the_newest_record_of_a_refinement_counts():
    old, new = (record("random", 0, auroc=value, gain=0, started=day) for value, day in ((0.1, "2025"), (0.4, "2026")))
    rounds = rounds_of([new, old])
    assert len(rounds) == 2
    assert rounds["score_auroc"].tolist() == [0.4, 0.4]


def test_nothing_refined_gives_empty_frames():
    rounds = rounds_of([make_record()])
    assert rounds.empty
    assert set(ROUNDS) <= set(rounds.columns)
    assert refinement_frame(rounds).empty
