"""Trials one after the other: the default first, within the budget, resumed, the hopeless stopped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from benchmark.tune import search as module
from benchmark.tune.kept_scores import scores_file
from benchmark.tune.objective import Quality
from benchmark.tune.result import best_models, told, trials_frame
from benchmark.tune.scoring import Judged
from benchmark.tune.search import Look, TuneError, search
from benchmark.tune.space import Dimension, Space
from benchmark.tune.trials import JOURNAL, Trials
from extensions.configuration import ConfigError
from extensions.runtime.disk import DiskFullError

MODEL = {"class_path": "extensions.Patchcore", "init_args": {"image_size": 128}}
SPACE = Space(MODEL, (Dimension("image_size", (128, 192, 256, 320), 0), Dimension("num_neighbors", (1, 3, 9), 2)))
LOOKS = [Look(SimpleNamespace(name="a"), counts=False), Look(SimpleNamespace(name="a"))]
COST = 10.0  # s a look


def scores_of(auroc: float, n: int = 500) -> pd.DataFrame:
    """Of so many images of each class: this share of the bad ones is above all good ones, the others are below."""
    bad = [2.0 if number < round(auroc * n) else 0.0 for number in range(n)]
    labels = [0] * n + [1] * n
    return pd.DataFrame(
        {"image": [f"{i:04}" for i in range(2 * n)], "label": labels, "kind": "", "score": [1.0] * n + bad}
    )


class Clock:
    """A clock that only judging moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of each look; larger images are better, by 1e-3 a px, and neighbors do not matter."""
    clock, seen = Clock(), []

    def judge(model: dict[str, Any], part: Any, **_: Any) -> Judged:
        arguments = model["init_args"]
        seen.append(arguments)
        clock.now += COST
        if arguments["image_size"] == 192:
            msg = "no room for 192 px"
            raise ValueError(msg)
        auroc = 0.5 + arguments["image_size"] / 1000
        return Judged(Quality(auroc, 1.0, None, 5.0), scores_of(auroc))

    monkeypatch.setattr(module, "judge", judge)
    monkeypatch.setattr(module, "time", clock)
    return seen


def run(
    folder: Path, budget: float, *, space: Space = SPACE, looks: list[Look] = LOOKS, names: tuple[str, ...] = ("one",)
) -> list[Trials]:
    detectors = [(Trials(folder, name, space, n_steps=len(looks)), {}) for name in names]
    search(detectors, looks, budget=budget, layers=lambda _: (), progress=False)
    return [trials for trials, _ in detectors]


def states(trials: Trials) -> list[str]:
    return trials_frame([trials], validation="")["state"].tolist()


def test_the_default_is_first_and_stays_as_configured(looked: list, tmp_path: Path) -> None:
    (trials,) = run(tmp_path, 1)
    assert looked == [MODEL["init_args"]] * 2
    assert best_models(trials) == [MODEL]


@pytest.mark.parametrize("budget", [1, 50, 95])
def test_the_budget_is_kept_within_one_trial(looked: list, tmp_path: Path, budget: float) -> None:
    (trials,) = run(tmp_path, budget)
    frame = trials_frame([trials], validation="")
    assert budget <= frame["seconds"].sum() < budget + 2 * COST


def test_the_best_is_found_and_no_setting_is_tried_twice(looked: list, tmp_path: Path) -> None:
    (trials,) = run(tmp_path, 10_000)
    frame = trials_frame([trials], validation="text")
    assert len(frame) == SPACE.n_settings, "it ends when all were tried"
    assert not frame.duplicated(["image_size", "num_neighbors"]).any()
    assert best_models(trials)[1]["init_args"]["image_size"] == 320
    assert frame.loc[frame["is_best"], "image_size"].tolist() == [320]
    assert frame.loc[frame["is_default"], "trial"].tolist() == [0]
    assert set(frame["validation"]) == {"text"}


def test_an_interrupted_search_goes_on_with_what_it_had(looked: list, tmp_path: Path) -> None:
    run(tmp_path, 60)
    n_before = len(looked)
    (trials,) = run(tmp_path, 60)
    assert len(looked) == n_before, "the budget is that of all calls together"
    (trials,) = run(tmp_path, 120)
    assert len(looked) > n_before
    assert not trials_frame([trials], validation="").duplicated(["image_size", "num_neighbors"]).any()


def test_a_trial_that_was_killed_does_not_count_and_a_killed_default_is_run_again(
    looked: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "judge", killed)
        run(tmp_path, 10)
    (trials,) = run(tmp_path, 10)
    assert looked[0] == MODEL["init_args"]
    assert states(trials) == ["complete"]


def test_half_a_line_of_a_killed_process_costs_nothing(looked: list, tmp_path: Path) -> None:
    (before,) = run(tmp_path, 60)
    n_before = len(before.rows)
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"worker_id":"x')
    (after,) = run(tmp_path, 100)
    assert len(after.rows) > n_before
    journal.write_text("no journal\n")
    with pytest.raises(ConfigError, match=r"trials.log: no journal of a search .* delete the folder"):
        run(tmp_path, 100)


def test_before_its_default_was_tried_a_detector_is_what_was_configured(looked: list, tmp_path: Path) -> None:
    first, second = run(tmp_path, 1, names=("one", "two"))
    assert len(first.rows) == 1
    assert best_models(second) == [MODEL]
    assert any("larger --budget" in line for line in told(second))


def test_a_failed_trial_is_told_and_the_search_goes_on(looked: list, tmp_path: Path) -> None:
    frame = trials_frame(run(tmp_path, 10_000), validation="")
    failed = frame[frame["state"] == "failed"]
    assert set(failed["image_size"]) == {192}
    assert failed["error"].str.contains("no room for 192 px").all()
    assert failed["image_AUROC"].isna().all()


def test_a_default_that_fails_ends_the_search(looked: list, tmp_path: Path) -> None:
    space = Space({**MODEL, "init_args": {"image_size": 192}}, (Dimension("image_size", (128, 192), 1),))
    with pytest.raises(TuneError, match=r"the default settings failed.*no room for 192 px"):
        run(tmp_path, 100, space=space)


def test_the_hopeless_are_stopped_after_their_first_look_and_the_default_never(looked: list, tmp_path: Path) -> None:
    frame = trials_frame(run(tmp_path, 10_000), validation="").set_index("trial")
    pruned = frame[frame["state"] == "pruned"]
    assert len(pruned)
    assert (pruned["n_looks"] == 1).all()
    assert set(pruned["image_size"]) <= {128, 256}, "never the best"
    assert frame.loc[0, "state"] == "complete"


def test_several_data_sets_count_alike_and_stop_the_hopeless_by_a_paired_test(looked: list, tmp_path: Path) -> None:
    looks = [Look(SimpleNamespace(name=str(number))) for number in range(9)]
    frame = trials_frame(run(tmp_path, 10_000, looks=looks), validation="")
    assert frame.loc[frame["state"] == "complete", "n_looks"].eq(9).all()
    assert (frame.loc[frame["state"] == "pruned", "n_looks"] < 9).any()
    assert frame.loc[frame["is_best"], "image_size"].tolist() == [320]


def test_detectors_share_the_time(looked: list, tmp_path: Path) -> None:
    first, second = run(tmp_path, 120, names=("one", "two"))
    assert abs(first.seconds - second.seconds) <= 2 * COST


def test_runs_with_other_seeds_differ(looked: list, tmp_path: Path) -> None:
    orders = []
    for seed in (0, 1):
        trials = Trials(tmp_path, f"seed {seed}", SPACE, n_steps=2, seed=seed)
        search([(trials, {})], LOOKS, budget=100, layers=lambda _: (), progress=False)
        orders.append([tuple(row.params.items()) for row in trials.rows])
    assert orders[0] != orders[1]


def test_the_best_by_less_than_a_standard_error_is_not_taken_also_when_resumed(
    looked: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(model: dict[str, Any], *_: Any, **__: Any) -> Judged:
        auroc = 0.9 if model["init_args"] == {"image_size": 320, "num_neighbors": 9} else 0.8
        return Judged(Quality(auroc, 1.0, None, 5.0), scores_of(auroc, 10))

    monkeypatch.setattr(module, "judge", judge)
    space = Space(MODEL, (Dimension("image_size", (128, 320), 0), Dimension("num_neighbors", (1, 9), 1)))
    run(tmp_path, 10_000, space=space)
    resumed = Trials(tmp_path, "one", space, n_steps=2)
    frame = trials_frame([resumed], validation="").set_index("image_size")
    assert frame.index[frame["is_best"]].tolist() == [320]
    assert frame["is_chosen"].equals(frame["is_default"])
    assert best_models(resumed) == [MODEL]
    # 1 of 10 bad images differs: its placement by 1, and sqrt(0.1 / 10) is the standard error.
    reason = "the default stays: the best trial is 0.1000 above, one standard error is 0.1000"
    assert frame.loc[frame["is_best"], "choice"].tolist() == [reason]
    assert f"  {reason}" in told(resumed)


def test_a_trial_whose_scores_found_no_room_did_not_end(
    looked: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        msg = "no room"
        raise DiskFullError(msg)

    (before,) = run(tmp_path, 1)
    with monkeypatch.context() as patch, pytest.raises(DiskFullError):
        patch.setattr("benchmark.tune.trials.keep_scores", full)
        run(tmp_path, 10_000)
    resumed = Trials(tmp_path, "one", SPACE, n_steps=2)
    assert "complete" not in states(resumed)[len(states(before)) :]
    (trials,) = run(tmp_path, 10_000)
    assert trials.lead() is not None


def test_scores_that_are_gone_or_damaged_are_told(looked: list, tmp_path: Path) -> None:
    (trials,) = run(tmp_path, 10_000)
    best = trials.best()
    assert best is not None
    path = scores_file(tmp_path, "one", best.number)
    text = path.read_text()
    for damage, reason in (
        (text[: len(text) // 2].rpartition("\n")[0], "not judged by the same images"),
        ("", "No columns"), ("a,b\n1,2\n", "found columns a, b and 1 images"),
        (text.replace("1.0", "nan", 1), "NaN or infinite"), (text.replace("1.0", "x", 1), "could not convert"),
    ):  # fmt: skip
        path.write_text(damage)
        with pytest.raises(
            ConfigError, match=f"{path.name}: expected the scores of a trial.*{reason}.*delete the folder"
        ):
            trials.lead()
    path.write_text(text)
    assert trials.lead() is not None
    path.unlink()
    with pytest.raises(ConfigError, match="it is not there") as caught:
        trials.lead()
    assert str(caught.value).count("give another --output") == 1
