"""Runs that take other scores from the same maps: one fit, one test, and what each gets alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from benchmark.execute.sweep import run_sweep
from benchmark.execute.workers import Task
from benchmark.one_run import shared_fit, training
from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.one_run.shared_fit import fits_together, shared_fits, shared_poolings
from benchmark.plan.experiment import Experiment
from benchmark.plan.grid import expand
from benchmark.records.archive import read_records

QUIET = RunOptions(progress=False, images=1)
SMALL = {"backbone": "test_resnet", "pre_trained": False, "image_size": 32}
MODELS = {
    "Patchcore": SMALL | {"coreset_sampling_ratio": {"grid": [0.05, 0.1]}, "num_neighbors": 2},
    "Padim": SMALL | {"n_features": 10},
    "ConvAutoencoder": {"latent_dim": 4, "image_size": 32},
}


@pytest.fixture
def planned(tiny_config, tmp_path, monkeypatch):
    """The experiments of some models, each with some values of score_pooling."""

    def plan(names: list[str], poolings: list[str | None], **changes: object) -> list[Experiment]:
        monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
        models = [
            {
                "class_path": f"extensions.{name}",
                "init_args": {"score_pooling": {"grid": poolings}, **MODELS[name]},
                "trainer": {"max_epochs": 1},
            }
            for name in names
        ]
        return expand(yaml.safe_load(tiny_config(2, models=models, **changes).read_text()))

    return plan


@pytest.fixture
def counted(monkeypatch) -> dict[str, int]:
    counts = {"fit": 0, "test_once": 0}

    def counting(name: str):
        own = getattr(training, name)

        def call(*given):
            counts[name] += 1
            return own(*given)

        return call

    for name in counts:
        monkeypatch.setattr(training, name, counting(name))
    monkeypatch.setattr(shared_fit, "last_fit", shared_fit.LastFit())  # an earlier test may have fitted the same
    return counts


def test_a_grid_over_poolings_fits_and_tests_once_and_each_gets_what_it_gets_alone(planned, counted, tmp_path):
    poolings = [None, "max", "top_5%"]
    sweep = planned(["Patchcore", "Padim"], poolings, seeds=[0])
    run_sweep(sweep, tmp_path / "sweep", options=QUIET, keep="all")
    assert counted == {"fit": 3, "test_once": 3}  # two ratios, and PaDiM
    shared = {record.key: record for record in read_records(tmp_path / "sweep")}
    assert len(shared) == len(sweep) == 9
    for experiment in sweep:
        alone = run_experiment(experiment, tmp_path / "alone", options=QUIET)
        record = shared[alone.key]
        assert record.is_finished, record.error
        paths = [folder / record.folder for folder in (tmp_path / "sweep", tmp_path / "alone")]
        scores, expected = (pd.read_csv(path / "scores.csv") for path in paths)
        pd.testing.assert_frame_equal(scores, expected, rtol=1e-5)
        pd.testing.assert_series_equal(pd.Series(record.metrics), pd.Series(alone.metrics), rtol=1e-5)
        assert record.thresholds.image == pytest.approx(alone.thresholds.image, rel=1e-5)
        assert [one.image for one in record.files.images] == [one.image for one in alone.files.images]
        assert record.layers == alone.layers
        kept, again = (torch.load(path / "model.ckpt", weights_only=True) for path in paths)
        assert kept["hyper_parameters"]["score_pooling"] == again["hyper_parameters"]["score_pooling"]
        assert kept["score_pooling"] == again["score_pooling"]
        for name, tensor in again["state_dict"].items():
            torch.testing.assert_close(kept["state_dict"][name], tensor, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert counted == {"fit": 12, "test_once": 12}


def test_a_network_s_own_scores_are_tested_for_wherever_they_stand_in_the_grid(planned, counted, tmp_path):
    sweep = planned(["Patchcore"], ["top_5%", "reweighted", "max"], seeds=[0])
    run_sweep(sweep[:3], tmp_path, options=QUIET, keep="none")
    assert counted == {"fit": 1, "test_once": 2}


def test_what_a_fit_takes_from_its_scores_is_fitted_to_each(planned, counted, tmp_path):
    sweep = planned(["ConvAutoencoder"], [None, "top_10"], seeds=[0])
    assert shared_fits(sweep) == shared_poolings(sweep) == ()
    run_sweep(sweep, tmp_path, options=QUIET, keep="none")
    assert counted == {"fit": 2, "test_once": 2}
    first, second = (record.thresholds.label_free for record in read_records(tmp_path))
    assert first != second


def test_runs_of_one_fit_follow_each_other_and_the_rest_stay_where_they_are(planned):
    sweep = planned(["Patchcore", "Padim"], [None, "max"])
    mixed = sweep[::2] + sweep[1::2]
    found = fits_together(mixed)
    assert sorted(map(id, found)) == sorted(map(id, mixed))
    ids = [shared_fit.test_id(one) for one in found]
    assert [ids[place] for place in range(0, len(ids), 2)] == [ids[place] for place in range(1, len(ids), 2)]
    assert ids[::2] == list(dict.fromkeys(shared_fit.test_id(one) for one in mixed))


def test_runs_of_one_test_go_to_one_worker(planned, tmp_path):
    sweep = planned(["Padim"], [None, "max"], seeds=[0, 1])
    options = RunOptions(poolings=shared_poolings(sweep))
    fits = [Task(one, tmp_path, options, run_experiment).fit for one in fits_together(sweep)]
    assert fits[0] == fits[1] != fits[2] == fits[3]
    assert all(fits)
    assert Task(sweep[0], tmp_path, QUIET, run_experiment).fit == ""


def test_images_augmented_in_the_test_are_tested_for_each_pooling(planned, counted, tmp_path: Path):
    sweep = planned(["Padim"], [None, "top_5%"], seeds=[0], augmentation={"name": "flip", "where": "tta", "n_views": 2})
    run_sweep(sweep, tmp_path, options=QUIET, keep="none")
    assert counted == {"fit": 1, "test_once": len(sweep)}


def test_a_wrong_name_fails_alone(planned, tmp_path):
    sweep = planned(["Padim"], [None, "top", "max"], seeds=[0])
    assert run_sweep(sweep, tmp_path, options=QUIET, keep="none") == {"finished": 2, "failed": 1}
    (failed,) = (record for record in read_records(tmp_path) if not record.is_finished)
    assert "score_pooling is 'top'; expected max" in failed.error.message
