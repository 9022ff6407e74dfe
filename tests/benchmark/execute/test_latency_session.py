"""The networks of a sweep are timed together, once each, and what was kept for that goes."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from pathlib import Path

import pytest

from benchmark.execute import latency_session
from benchmark.execute.sweep import run_sweep
from benchmark.one_run import latency
from benchmark.one_run.kept_networks import IMAGE, NETWORK, FinishedRun, Keeper, network_id, runs_of
from benchmark.one_run.machine import MachineLoad
from benchmark.one_run.options import RunOptions
from benchmark.plan.experiment import Experiment
from benchmark.records.archive import read_records
from benchmark.records.record import Record
from benchmark.records.record_file import write_record
from benchmark.records.record_sections import Speed
from benchmark.records.run_files import RECORD, run_folder
from benchmark.records.store import Store

QUIET = RunOptions(progress=False)


@pytest.fixture
def one(tiny_root: Path) -> Experiment:
    data = {
        "name": "tiny", "root": str(tiny_root), "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "num_workers": 0,
    }  # fmt: skip
    model = {"backbone": "test_resnet", "pre_trained": False, "image_size": 64, "n_features": 5}
    return Experiment(
        model={"class_path": "extensions.Padim", "init_args": model},
        data={"class_path": "extensions.Folder", "init_args": data},
    )


def with_features(one: Experiment, n: int, **changes) -> Experiment:
    model = {**one.model, "init_args": one.model["init_args"] | {"n_features": n}}
    return dataclasses.replace(one, model=model, **changes)


@pytest.fixture
def turns(monkeypatch) -> list:
    """The order in which networks had their turns, by the size of their covariances."""
    found: list[int] = []
    timing = latency.time_images

    def counting(model, image, **options):
        found.append(int(model.model.gaussian.inv_covariance.shape[-1]))
        return timing(model, image, **options | {"warm_up": 1, "repeats": 3})

    monkeypatch.setattr(latency, "time_images", counting)
    monkeypatch.setattr(latency_session, "MORE_ROUNDS", latency_session.ROUNDS)
    return found


def speeds(output: Path) -> dict[tuple[int, int], Speed]:
    found = {}
    for record in read_records(output):
        found[record.experiment.model.init_args["n_features"], record.seed] = record.speed
    return found


def left(output: Path) -> list[str]:
    return sorted(path.name for path in output.rglob("*") if path.name in (NETWORK, IMAGE, "model.ckpt"))


def test_networks_take_turns_and_runs_of_one_network_share_its_time(one, tmp_path, turns):
    sweep = [with_features(one, 5), with_features(one, 5, seed=1), with_features(one, 9)]
    run_sweep(sweep, tmp_path, options=QUIET, keep="best")
    assert turns[3:] in ([5, 9] * latency_session.ROUNDS, [9, 5] * latency_session.ROUNDS)  # after those of the runs
    found = speeds(tmp_path)
    assert len({speed.latency_session for speed in found.values()} - {None}) == 1
    timed = ("network", "latency_ms", "latency_p95_ms", "latency_of", "latency_n")
    assert [getattr(found[5, 0], name) for name in timed] == [getattr(found[5, 1], name) for name in timed]
    assert found[5, 0].network != found[9, 0].network
    for speed in found.values():
        assert 0 < speed.latency_min_ms <= speed.latency_ms <= speed.latency_max_ms
        assert speed.latency_turns == latency_session.ROUNDS
        assert speed.latency_n == 3 * latency_session.ROUNDS
        assert speed.latency_threads > 0
    assert left(tmp_path) == [IMAGE, "model.ckpt"]


@pytest.mark.parametrize(("varies", "n_turns"), [(0.01, 3), (0.5, 5)])
def test_no_more_turns_are_taken_than_tell_anything(one, tmp_path, monkeypatch, varies, n_turns):
    factors = itertools.cycle([1.0, 1.0 + varies])
    monkeypatch.setattr(latency, "time_images", lambda *_, **__: [10 * next(factors)] * 3)
    monkeypatch.setattr(latency_session, "ROUNDS", 5)
    monkeypatch.setattr(latency_session, "MORE_ROUNDS", 5)
    monkeypatch.setattr(MachineLoad, "note", "")
    run_sweep([one], tmp_path, options=QUIET, keep="best")
    (speed,) = speeds(tmp_path).values()
    assert speed.latency_turns == n_turns


@pytest.mark.parametrize("keep", ["none", "all"])
def test_nothing_stays_that_was_not_to_be_kept(keep, one, tmp_path, turns):
    run_sweep([one, with_features(one, 9)], tmp_path, options=QUIET, keep=keep)
    assert left(tmp_path) == ([] if keep == "none" else [IMAGE, IMAGE, "model.ckpt", "model.ckpt"])
    assert {record.files.checkpoint for record in read_records(tmp_path)} == (
        {None} if keep == "none" else {"model.ckpt"}
    )
    assert all(speed.latency_session for speed in speeds(tmp_path).values())


def test_a_later_sweep_times_what_was_kept_again_and_a_repeated_one_nothing(one, tmp_path, turns):
    run_sweep([one], tmp_path, options=QUIET)
    first = speeds(tmp_path)[5, 0].latency_session
    turns.clear()
    run_sweep([one], tmp_path, options=QUIET)
    assert turns == []
    run_sweep([one, with_features(one, 9)], tmp_path, options=QUIET, keep="all")
    sessions = {speed.latency_session for speed in speeds(tmp_path).values()}
    assert len(sessions) == 1
    assert first not in sessions
    run_sweep([one], tmp_path, options=dataclasses.replace(QUIET, overwrite="latency"), keep="all")
    again = {speed.latency_session for speed in speeds(tmp_path).values()}
    assert len(again) == 1
    assert again != sessions


def test_a_network_that_cannot_be_loaded_keeps_the_time_of_its_run(one, tmp_path, turns, monkeypatch, caplog):
    load = latency_session.load_network

    def failing(run: FinishedRun):
        if run.record.experiment.model.init_args["n_features"] == 9:
            msg = "torn"
            raise RuntimeError(msg)
        return load(run)

    monkeypatch.setattr(latency_session, "load_network", failing)
    run_sweep([one, with_features(one, 9)], tmp_path, options=QUIET, keep="all")
    found = speeds(tmp_path)
    assert found[5, 0].latency_session
    assert found[9, 0].latency_session is None
    assert found[9, 0].latency_ms > 0
    assert "torn" in caplog.text


def test_an_interrupted_sweep_is_timed_when_it_goes_on(one, tmp_path, turns, monkeypatch):
    measure = latency_session.measure_latencies

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.execute.sweep.measure_latencies", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_sweep([one], tmp_path, options=QUIET, keep="none")
    assert left(tmp_path) == [IMAGE, NETWORK]
    monkeypatch.setattr("benchmark.execute.sweep.measure_latencies", measure)
    run_sweep([one], tmp_path, options=QUIET, keep="none")
    assert speeds(tmp_path)[5, 0].latency_session
    assert left(tmp_path) == []


def test_a_network_of_a_gpu_that_is_not_here_stays_as_its_run_timed_it(one, tmp_path, turns):
    run_sweep([one], tmp_path, options=QUIET, keep="all")
    (record,) = read_records(tmp_path)
    speed = record.speed.model_copy(update={"latency_device": "Some GPU", "latency_session": None})
    write_record(tmp_path / record.folder, record.model_copy(update={"speed": speed}))
    turns.clear()
    assert latency_session.measure_latencies(Store(tmp_path), [one]) is None
    assert turns == []


def fake_run(store: Store, name: str, *, network: str, auroc: float, session: str | None = None, file: str) -> None:
    folder = store.output / run_folder(dataset="tiny", category="", model="Padim", backbone="", key=name)
    folder.mkdir(parents=True)
    (folder / file).write_bytes(b"0" * 10)
    (folder / IMAGE).touch()
    record = {
        "key": name, "status": "finished", "experiment_id": name, "model": "Padim", "backbone": "",
        "dataset": {"name": "tiny", "category": ""}, "metrics": {"image_AUROC": auroc, "pixel_AUROC": None},
        "speed": {"network": network, "latency_session": session},
        "files": {"checkpoint": file if file == "model.ckpt" else None},
    }  # fmt: skip
    write_record(folder, Record.model_validate(record))


def kept(store: Store, names: str, keep: str) -> None:
    keeper = Keeper(store, keep)
    for run in runs_of(store):
        if run.folder.name in names:
            keeper.add(run.record)


def test_one_file_of_each_network_waits_and_the_best_checkpoint_stays(tmp_path):
    store = Store(tmp_path)
    for name, network, auroc in (("a", "x", 0.9), ("b", "x", 0.8), ("c", "y", 0.7), ("d", "y", 0.6)):
        fake_run(store, name, network=network, auroc=auroc, file="model.ckpt")
    fake_run(store, "e", network="z", auroc=0.1, session="done", file="model.ckpt")
    kept(store, "abcde", "best")
    files = {
        run.folder.name: {path.name for path in run.folder.iterdir()} - {RECORD} for run in runs_of(store)
    }  # x waits in the checkpoint of a, y in c alone, z was timed
    assert files == {"a": {"model.ckpt", IMAGE}, "b": set(), "c": {NETWORK, IMAGE}, "d": set(), "e": set()}
    assert Counter(run.record.files.checkpoint for run in runs_of(store)) == {None: 4, "model.ckpt": 1}


def test_networks_that_nobody_asked_to_keep_take_so_much_room_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.one_run.kept_networks.MOST_BYTES", 25)
    store = Store(tmp_path)
    for name in "abc":
        fake_run(store, name, network=name, auroc=0.5, file=NETWORK)
    kept(store, "abc", "none")
    assert left(tmp_path) == [IMAGE, IMAGE, NETWORK, NETWORK]


def test_the_files_of_other_sweeps_are_left_alone(tmp_path):
    store = Store(tmp_path)
    for name in "ab":
        fake_run(store, name, network="x", auroc=0.5, file=NETWORK)
    kept(store, "b", "none")
    assert left(tmp_path) == [IMAGE, IMAGE, NETWORK, NETWORK]


def test_a_network_is_known_by_what_decides_its_time(one):
    import torch

    from extensions.configuration import instantiate_model

    model, image = instantiate_model(one.model), torch.zeros(3, 64, 64)
    name = network_id(one, model, image)
    assert network_id(dataclasses.replace(one, seed=5), model, image) == name
    assert network_id(one, model, torch.zeros(3, 32, 32)) != name
    assert network_id(one, model, image, n_views=3) != name
    assert network_id(with_features(one, 9), model, image) != name
    model.model.register_buffer("bank", torch.zeros(4, 2))
    larger = network_id(one, model, image)
    model.model.bank = torch.zeros(8, 2)
    assert len({name, larger, network_id(one, model, image)}) == 3
