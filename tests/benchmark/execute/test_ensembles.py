"""Ensembles of a sweep: judged without training as a fit of their own would be, and told like any other row."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmark.__main__ import main
from benchmark.execute.ensembles import sum_latencies
from benchmark.one_run.judged_ensemble import joined_speed, joined_training
from benchmark.one_run.kept_maps import MAPS, KeptMaps, MapCollector
from benchmark.plan.ensembles import EnsemblePlan, planned_ensembles, read_ensembles
from benchmark.plan.experiment import Experiment
from benchmark.records.archive import read_records
from benchmark.records.packed import read_scores
from benchmark.records.record_file import write_record
from benchmark.records.record_sections import Speed, Training
from benchmark.records.store import Store
from extensions.configuration import ConfigError
from extensions.models.ensemble.scale import HELD_OUT, Scale

ON = {"backbone": "resnet18", "pre_trained": False}
DETECTORS = [
    {"class_path": "extensions.Padim", "init_args": {**ON, "image_size": 64, "n_features": 10}},
    {"class_path": "extensions.Patchcore", "init_args": {**ON, "image_size": 48, "coreset_sampling_ratio": 0.2}},
    {"class_path": "extensions.BackboneOcSvm", "init_args": {**ON, "image_size": 64}},
]


def ensemble(members):
    return {"class_path": "extensions.Ensemble", "init_args": {"members": members}}


def run(path, output, **changes):
    config = yaml.safe_load(path.read_text()) | {"images": 0} | changes
    path.write_text(yaml.safe_dump(config))
    return main(["run", "--config", str(path), "--output", str(output)])


def by_key(output):
    return {record.key: record for record in read_records(output)}


@pytest.fixture(scope="module")
def sweep(tiny_root, tmp_path_factory):
    """A configuration of three detectors on the tiny images, and a folder in which pairs of them were judged."""
    folder = tmp_path_factory.mktemp("judged")
    data = {
        "name": "tiny", "root": str(tiny_root), "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "num_workers": 0,
    }  # fmt: skip
    path = folder / "tiny.yaml"
    document = {
        "name": "tiny", "models": DETECTORS, "data": [{"class_path": "extensions.Folder", "init_args": data}],
        "seeds": [3],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(document))
    assert run(path, folder / "out", ensembles={"sizes": [2, 3]}, keep="all") == 0
    return path, folder / "out"


def test_dry_run_tells_how_many_ensembles_are_left(sweep, capsys):
    path, output = sweep
    asked = ["run", "--config", str(path), "--output", str(output), "--dry-run"]
    assert main(asked) == 0
    assert "3 experiments, 0 to do\n4 ensembles of these, 0 to judge" in capsys.readouterr().out
    assert main([*asked, "--overwrite", "all"]) == 0
    assert "4 ensembles of these, 4 to judge" in capsys.readouterr().out


def test_judged_pairs_and_triples_are_records_of_their_members(sweep):
    records = by_key(sweep[1])
    judged = [record for record in records.values() if record.members]
    assert sorted(len(record.members) for record in judged) == [2, 2, 2, 3]
    for record in judged:
        parts = [records[key].speed for key in record.members]
        assert record.status == "finished"
        assert record.speed.latency_ms == pytest.approx(sum(part.latency_ms for part in parts))
        assert record.speed.latency_session == parts[0].latency_session is not None
        assert record.memory.model_bytes == sum(records[key].memory.model_bytes for key in record.members)
        assert record.training.converged
        assert record.dataset.image_size == [64, 64]
    table = pd.read_csv(sweep[1] / "leaderboard.csv").query("category == 'mean' and model == 'Ensemble'")
    assert len(table) == 4
    assert table["latency_ms"].notna().all()
    assert table["settings"].str.contains("members=Padim resnet18").sum() == 3


def test_a_judged_ensemble_is_what_a_fit_of_it_gives(sweep, tmp_path):
    path = shutil.copy(sweep[0], tmp_path / "fitted.yaml")
    assert run(path, tmp_path / "out", models=[ensemble(DETECTORS[:2])], ensembles=None) == 0
    (fitted,) = read_records(tmp_path / "out")
    judged = by_key(sweep[1])[fitted.key]
    assert len(judged.members) == 2
    assert not fitted.members
    scores = [read_scores(output, one) for output, one in ((sweep[1], judged), (tmp_path / "out", fitted))]
    assert scores[0]["image"].tolist() == scores[1]["image"].tolist()
    np.testing.assert_allclose(scores[0]["score"], scores[1]["score"], rtol=1e-5, atol=1e-5)
    told = {name: value for name, value in fitted.metrics.items() if value is not None}
    assert judged.metrics == pytest.approx(told | {n: None for n in fitted.metrics if n not in told}, abs=1e-4)
    assert judged.thresholds.image == pytest.approx(fitted.thresholds.image, rel=1e-4)
    assert (judged.settings, judged.experiment_id) == (fitted.settings, fitted.experiment_id)
    assert fitted.memory.model_bytes == pytest.approx(judged.memory.model_bytes, rel=0.01)


def test_again_nothing_is_run_and_a_further_detector_brings_its_pairs(sweep, tmp_path, monkeypatch):
    output = shutil.copytree(sweep[1], tmp_path / "out")
    path = shutil.copy(sweep[0], tmp_path / "again.yaml")
    before = {record.key: record.started for record in read_records(output)}
    assert run(path, output, keep="best") == 0
    assert {record.key: record.started for record in read_records(output)} == before
    assert not list(output.rglob(MAPS)), "they go when all was judged"
    assert len(list(output.rglob(HELD_OUT))) == 3

    asked = {"max_false_alarms": 0.25}
    assert run(path, output, keep="best", requirement=asked) == 0
    kept = read_records(output)
    assert {record.key: record.started for record in kept} == before
    assert all(record.thresholds.requirement is not None for record in kept), "also of the ensembles"

    more = {"class_path": "extensions.Padim", "init_args": {**ON, "image_size": 64, "n_features": 5}}
    assert run(path, output, keep="best", models=[DETECTORS[2], more], ensembles={"sizes": [2]}) == 0
    after = {record.key: record.started for record in read_records(output)}
    new = [by_key(output)[key] for key in after.keys() - before.keys()]
    assert sorted(record.model for record in new) == ["Ensemble", "Padim"]
    assert not list(output.rglob(MAPS))


def test_what_is_run_by_hand_keeps_no_maps(sweep, tmp_path):
    path = shutil.copy(sweep[0], tmp_path / "plain.yaml")
    assert run(path, tmp_path / "out", models=DETECTORS[:1], ensembles=None) == 0
    assert not list(tmp_path.rglob(MAPS)) + list(tmp_path.rglob(HELD_OUT))


def test_a_pair_that_cannot_be_judged_is_told_and_costs_no_other(sweep, tmp_path, caplog):
    output = shutil.copytree(sweep[1], tmp_path / "out")
    path = shutil.copy(sweep[0], tmp_path / "again.yaml")
    records = read_records(output)
    for record in records:
        if record.members:
            shutil.rmtree(output / record.folder)
    broken = next(record for record in records if record.model == "BackboneOcSvm")
    (output / broken.folder / MAPS).write_bytes(b"no")
    assert run(path, output, keep="all", ensembles={"sizes": [2]}) == 1
    assert caplog.text.count("is not judged") == 2
    assert "these are no maps of a run" in caplog.text
    assert sum(bool(record.members) for record in read_records(output)) == 1


def test_too_few_training_images_cost_the_run_nothing(sweep, tmp_path, caplog):
    path = shutil.copy(sweep[0], tmp_path / "few.yaml")
    data = yaml.safe_load(path.read_text())["data"]
    data[0]["init_args"]["k_shot"] = 3
    code = run(path, tmp_path / "out", data=data, models=DETECTORS[:2], ensembles={"sizes": [2]})
    records = read_records(tmp_path / "out")
    assert [record.status for record in records] == ["finished", "finished"]
    assert "takes part in no ensemble: an Ensemble holds 0.25 of the good training images out" in caplog.text
    assert code == 1


def test_latencies_follow_the_members(sweep, tmp_path):
    output = shutil.copytree(sweep[1], tmp_path / "out")
    records = by_key(output)
    one = next(record for record in records.values() if len(record.members) == 2)
    part = records[one.members[0]]
    timed = part.speed.model_copy(update={"latency_ms": 500.0, "latency_session": "later"})
    write_record(output / part.folder, part.model_copy(update={"speed": timed}))
    sum_latencies(Store(output))
    found, other = by_key(output)[one.key].speed, records[one.members[1]].speed
    assert found.latency_ms == pytest.approx(500.0 + other.latency_ms)
    assert found.latency_session is None, "they were not timed together"
    assert found.fit_seconds == one.speed.fit_seconds


def test_planned_are_combinations_on_the_same_data_and_seed():
    def on(root, seed, **model):
        return Experiment(
            model={"class_path": "extensions.Padim", "init_args": model},
            data={"class_path": "extensions.Folder", "init_args": {"name": root, "root": root}},
            seed=seed,
        )

    runs = [on(root, seed, n_features=n) for root in "ab" for seed in (0, 1) for n in (5, 6, 7)]
    assert planned_ensembles(runs, None) == []
    found = planned_ensembles(runs, EnsemblePlan(sizes=(2, 3)))
    assert len(found) == 4 * (3 + 1)
    for one in found:
        assert {(m.seed, m.data["init_args"]["name"]) for m in one.members} == {
            (one.experiment.seed, one.experiment.data["init_args"]["name"])
        }
    asked = found[0].experiment
    left = planned_ensembles([*runs, asked], EnsemblePlan())
    assert asked.experiment_id not in {one.experiment.experiment_id for one in left}
    assert len(left) == 4 * 3 - 1


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ([2], "expected a mapping such as"),
        ({"size": [2]}, "unknown key 'size', expected one of sizes, combine"),
        ({"sizes": [1]}, r"ensembles.sizes: found \[1\], expected whole numbers from 2 to 5"),
        ({"sizes": []}, "ensembles.sizes"),
        ({"sizes": [True]}, "ensembles.sizes"),
        ({"combine": ["median"]}, r"ensembles.combine: found \['median'\], expected mean or maximum"),
    ],
)
def test_sections_that_cannot_be_are_told(section, said):
    with pytest.raises(ConfigError, match=said):
        read_ensembles(section)
    assert read_ensembles({"sizes": 3, "combine": "maximum"}) == EnsemblePlan((3,), ("maximum",))


def test_a_wrong_member_is_told_before_anything_runs(sweep, tmp_path, capsys):
    path = shutil.copy(sweep[0], tmp_path / "wrong.yaml")
    wrong = {"class_path": "extensions.Padim", "init_args": {"n_feature": 3}}
    assert run(path, tmp_path / "out", models=[ensemble([DETECTORS[0], wrong])], ensembles=None) == 1
    assert "members[1]" in (said := capsys.readouterr().err)
    assert "n_features" in said
    assert not (tmp_path / "out").exists()


def test_kept_runs_are_refused_where_folds_must_be_unseen(sweep, tmp_path, caplog, capsys):
    path = shutil.copy(sweep[0], tmp_path / "kept.yaml")
    kept = next(str(sweep[1] / record.folder) for record in read_records(sweep[1]) if not record.members)
    changes = {"models": [ensemble([kept, DETECTORS[0]])], "ensembles": None}
    folds = {"max_false_alarms": 0.1, "cross_conformal": 2}
    assert run(path, tmp_path / "out", **changes, requirement=folds) == 1
    assert "a kept run has seen all images" in caplog.text + capsys.readouterr().err
    assert run(path, tmp_path / "out", **changes, requirement=None) == 0


def test_maps_come_back_as_they_were_written(tmp_path):
    rng = np.random.default_rng(0)
    collector = MapCollector(Scale(0, 1, 3.0, 2.0, 4))
    maps, masks = rng.normal(3, 2, (5, 6, 11)).astype(np.float32), rng.random((5, 6, 11)) > 0.5
    for rows in ([3, 1], [0, 2, 4]):
        collector.take(rows, maps[rows], masks[rows])
    collector.kept(list("abcde")).write(tmp_path / MAPS)
    found = KeptMaps.read(tmp_path / MAPS)
    assert found.images == list("abcde")
    np.testing.assert_allclose(found.maps.astype(np.float32), (maps - 3) / 2, rtol=1e-3, atol=1e-3)
    assert found.masks.tolist() == masks.tolist()
    collector.take([0], np.full((1, 6, 11), 1e6, np.float32), masks[:1])
    with pytest.raises(ValueError, match="more than 65504 deviations"):
        collector.kept(list("abcde"))


def test_what_is_not_known_of_a_member_is_not_known_of_the_sum():
    times = [Speed(latency_ms=2.0, fit_seconds=3.0, latency_session="s"), Speed(latency_ms=5.0, latency_session="s")]
    found = joined_speed(times, held_out=[1.0, 1.0])
    assert (found.latency_ms, found.fit_seconds, found.latency_session) == (7.0, None, "s")
    assert joined_speed(times[:1], held_out=[4.0]).fit_seconds == 7.0
    fits = [Training(epochs=1, stopped_by="single pass", converged=True), Training(epochs=9, converged=False)]
    assert joined_training(fits).converged is False
    assert json.loads(joined_training(fits[:1]).model_dump_json(exclude_unset=True))["stopped_by"] == "single pass"
