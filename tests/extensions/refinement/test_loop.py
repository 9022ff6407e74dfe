"""The loop with a detector that only counts: what it trains on, what it removes, what it tells."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from extensions.refinement.evidence import Evidence
from extensions.refinement.loop import refine, with_training
from extensions.refinement.plan import Plan

N, N_BAD = 40, 4


@pytest.fixture
def datamodule():
    """Forty images, the first four of them injected."""
    names = [f"train/{number:02}.png" for number in range(N)]
    samples = pd.DataFrame({"image_path": names, "injected": [number < N_BAD for number in range(N)]})
    samples.attrs["task"] = "classification"
    return SimpleNamespace(train_data=SimpleNamespace(samples=samples), relative=str, name="made up", category="")


@pytest.fixture
def trainer():
    """Notes what each detector was trained on."""
    trained = []

    def train(part):
        trained.append(part.train_data.samples["image_path"].tolist())
        return SimpleNamespace(metrics={"image_AUROC": 0.5 + len(trained) / 10}, model=None)

    return SimpleNamespace(train=train, trained=trained)


def evidence_of(datamodule):
    samples = datamodule.train_data.samples

    def evidence(kept, trained, rng):
        part = samples.iloc[kept]
        embeddings = np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32)
        return Evidence(
            names=part["image_path"].tolist(),
            patches=lambda: embeddings[kept][:, None],
            embeddings=lambda: embeddings[kept],
            injected=part["injected"].to_numpy() if "injected" in part else None,
            rng=rng,
        )

    return evidence


def run(datamodule, trainer, **plan):
    return refine(datamodule, Plan.from_config(plan), seed=3, evidence=evidence_of(datamodule), train=trainer.train)


def test_the_oracle_removes_what_was_injected_and_its_rounds_say_so(datamodule, trainer):
    found = run(datamodule, trainer, strategy="oracle", rule="fixed_count", rule_arguments={"count": 2}, rounds=2)
    table = found.table()
    assert table["round"].tolist() == [0, 1, 2]
    assert table["n_train"].tolist() == [40, 38, 36]
    assert table["n_injected_removed"].tolist() == [0, 2, 4]
    assert table["precision"].tolist()[1:] == [1.0, 1.0]
    assert table["recall"].tolist() == [0.0, 0.5, 1.0]
    assert table["score_auroc"].tolist()[:2] == [1.0, 1.0]
    assert pd.isna(table["score_auroc"][2])
    np.testing.assert_allclose(table["image_AUROC"], [0.6, 0.7, 0.8])
    assert [len(names) for names in trainer.trained] == [40, 38, 36]
    assert trainer.trained[-1] == [f"train/{number:02}.png" for number in range(4, 40)]


def test_the_datamodule_is_left_as_it_was(datamodule, trainer):
    before = datamodule.train_data.samples.copy()
    run(datamodule, trainer, strategy="oracle", rule="fixed_count", rule_arguments={"count": 2})
    pd.testing.assert_frame_equal(datamodule.train_data.samples, before)
    part = with_training(datamodule, np.array([1, 5]))
    assert part.train_data.samples["image_path"].tolist() == ["train/01.png", "train/05.png"]
    assert part.train_data.samples.attrs == {"task": "classification"}


@pytest.mark.parametrize(
    ("retrain", "n_trained"), [("every", [40, 39, 38, 37]), ("ends", [40, 37]), ("last", [37]), ("never", [])]
)
def test_how_often_a_detector_is_trained(datamodule, trainer, retrain, n_trained):
    plan = {"strategy": "random", "rule": "fixed_count", "rule_arguments": {"count": 1}, "rounds": 3}
    found = run(datamodule, trainer, **plan, retrain=retrain)
    assert [len(names) for names in trainer.trained] == n_trained
    assert found.table()["image_AUROC"].notna().sum() == len(n_trained)
    assert len(found.kept) == 37


def test_it_ends_when_nothing_more_may_be_removed(datamodule, trainer):
    plan = {"rule": "fixed_count", "rule_arguments": {"count": 3}, "rounds": 9, "floor": 0.8}
    found = run(datamodule, trainer, strategy="random", **plan)
    assert len(found.kept) == 32
    assert found.table()["n_removed"].tolist() == [0, 3, 6, 8]


def test_one_seed_removes_the_same_images_and_another_seed_others(datamodule, trainer):
    plan = {"strategy": "random", "rule": "fixed_count", "rule_arguments": {"count": 5}, "rounds": 1}
    several = [
        refine(datamodule, Plan.from_config(plan), seed=seed, evidence=evidence_of(datamodule), train=trainer.train)
        for seed in (1, 1, 2)
    ]
    kept = [found.kept.tolist() for found in several]
    assert kept[0] == kept[1] != kept[2]


def test_suspects_are_listed_by_round_then_by_score(datamodule, trainer):
    found = run(datamodule, trainer, strategy="neighbors", rule="fixed_count", rule_arguments={"count": 3}, rounds=2)
    frame = found.suspects()
    assert len(frame) == N
    assert frame["removed_in_round"].tolist()[:7] == [1, 1, 1, 2, 2, 2, pd.NA]
    for _, part in frame.groupby("removed_in_round", dropna=False):
        assert part["score"].is_monotonic_decreasing
    assert set(frame["keep"]) == {""}
    first = found.rounds[0]
    assert frame["image"][0] == found.names[int(np.argmax(first.scores))]


def test_without_truth_nothing_is_said_of_it(datamodule, trainer):
    del datamodule.train_data.samples["injected"]
    found = run(datamodule, trainer, strategy="neighbors", rule="fixed_count", rule_arguments={"count": 3}, rounds=1)
    table = found.table()
    assert table[["n_injected_removed", "precision", "recall", "score_auroc"]].isna().all(axis=None)
    assert found.suspects()["injected"].isna().all()


def test_a_review_trains_once_on_what_a_person_kept(datamodule, trainer):
    found = run(datamodule, trainer, strategy="review", dropped=["train/07.png", "train/01.png"])
    assert len(trainer.trained) == 1
    assert {"train/07.png", "train/01.png"}.isdisjoint(trainer.trained[0])
    assert len(trainer.trained[0]) == 38
    table = found.table()
    assert table["n_removed"].tolist() == [2]
    assert table["precision"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"strategie": "random"}, "unknown key 'strategie'.*did you mean strategy"),
        ({"strategy": "entropie"}, "strategy is 'entropie'.*entropy"),
        ({"rule": "median"}, "rule is 'median'"),
        ({"rounds": -1}, "rounds is -1, expected a whole number from 0 on"),
        ({"floor": 0}, "floor is 0, expected a share"),
        ({"retrain": "sometimes"}, "retrain is 'sometimes', expected one of every, ends, last, never"),
        ({"strategy": "entropy", "retrain": "ends"}, "asks the detector"),
        ({"rule": "mad", "rule_arguments": {"k": 3}}, "takes no 'k'.*known: t"),
        ({"rule": "mad", "rule_arguments": {"t": 0}}, "t is 0; expected a number above 0"),
        ({"dropped": ["a.png"]}, "'review' and 'dropped' go together"),
        ({"strategy": ["consensus", "random"]}, "strategy is .*expected one name"),
        ({"rule": {"gird": ["mad"]}}, "rule is .*expected one name"),
        ({"rule": "mad", "rule_arguments": {"t": "three"}}, "rule_arguments.t is 'three', expected a number"),
        ({"rule": "mad", "rule_arguments": {"t": float("inf")}}, "rule_arguments.t is inf, expected a number"),
        ({"rule": "fixed_count", "rule_arguments": {"count": 1.5}}, "count is 1.5; expected a whole number"),
        ({"backbone": 5}, "backbone is 5, expected a name"),
        ({"image_size": "224"}, "image_size is '224', expected a whole number of px"),
    ],
)
def test_a_plan_that_cannot_be_is_one_sentence(section, words):
    with pytest.raises(ValueError, match=words):
        Plan.from_config(section)


def test_images_that_are_held_out_are_screened_and_not_counted_as_trained(datamodule, trainer):
    plan = Plan.from_config({"strategy": "oracle", "rule": "fixed_count", "rule_arguments": {"count": 2}, "rounds": 1})
    held_out = np.arange(N) % 2 == 0  # the first that the oracle removes among them
    found = refine(datamodule, plan, seed=3, evidence=evidence_of(datamodule), train=trainer.train, held_out=held_out)
    assert found.table()["n_train"].tolist() == [20, 19]
    assert found.table()["n_removed"].tolist() == [0, 2]


def test_a_verdict_on_an_image_that_is_not_there_is_refused(datamodule, trainer):
    plan = Plan.from_config({"strategy": "review", "dropped": ["elsewhere.png"]})
    with pytest.raises(ValueError, match=r"'elsewhere.png', which is none of the 40 images"):
        refine(datamodule, plan, seed=3, evidence=None, train=trainer.train)


def test_known_defects_are_no_suspects_and_refused(datamodule, trainer):
    datamodule.train_data.samples["known"] = datamodule.train_data.samples["injected"]
    with pytest.raises(ValueError, match="data set 'made up' hold 4 known defects"):
        run(datamodule, trainer, strategy="random", rule="mad")
    assert not trainer.trained


def test_tiles_are_refused(datamodule, trainer):
    datamodule.train_data.gives_tiles = True
    with pytest.raises(
        ValueError, match="refinement: data set 'made up' sets tiling, and what judges a training image"
    ):
        run(datamodule, trainer, strategy="random", rule="mad")
    assert not trainer.trained
