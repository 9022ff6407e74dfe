from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from benchmark.records.record import Record
from benchmark.records.record_file import read_records
from benchmark.records.record_sections import Dataset
from benchmark.records.run_files import RECORD, write_json, write_text
from benchmark.records.store import Store, run_folder

WHERE = {"dataset": "elpv", "category": "", "model": "Padim", "backbone": "resnet18"}


def record(key: str) -> Record:
    where = run_folder(**WHERE, key=key)
    return Record(key=key, status="finished", model="Padim", dataset=Dataset(name="elpv"), folder=where)


def commit(store: Store, key: str) -> None:
    with store.workspace() as workspace:
        write_text(workspace / "scores.csv", "image\n")
        store.commit(workspace, record(key))


def test_a_committed_run_is_found_again_and_nothing_else_is_left(tmp_path):
    store = Store(tmp_path)
    commit(store, "a" * 16)
    (found,) = read_records(tmp_path)
    assert found == record("a" * 16)
    assert found.folder == Path("runs/elpv/all/Padim-resnet18", "a" * 16)
    assert list((tmp_path / ".work").iterdir()) == []


def test_a_run_that_raises_leaves_no_record(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.workspace() as workspace:
        write_text(workspace / "scores.csv", "image\n")
        raise RuntimeError
    assert list(read_records(tmp_path)) == []
    assert list((tmp_path / ".work").iterdir()) == []


def test_committing_again_replaces_the_run(tmp_path):
    store = Store(tmp_path)
    commit(store, "a" * 16)
    (tmp_path / run_folder(**WHERE, key="a" * 16) / "old").touch()
    commit(store, "a" * 16)
    assert not (tmp_path / run_folder(**WHERE, key="a" * 16) / "old").exists()


@pytest.mark.parametrize("content", ["", '{"key": "aaaa', '{"key": "another"}', '{"key": "aaaaaaaaaaaaaaaa"}', "[]"])
def test_a_torn_record_counts_as_none(tmp_path, content):
    store = Store(tmp_path)
    commit(store, "a" * 16)
    folder = run_folder(**WHERE, key="a" * 16)
    assert store.read(folder) == record("a" * 16)
    (tmp_path / folder / RECORD).write_text(content)
    assert store.read(folder) is None
    assert list(read_records(tmp_path)) == []


def test_a_record_of_another_run_answers_none(tmp_path):
    store = Store(tmp_path)
    commit(store, "a" * 16)
    folder = run_folder(**WHERE, key="b" * 16)
    (tmp_path / folder).parent.joinpath("a" * 16).rename(tmp_path / folder)
    assert store.read(folder) is None


def test_names_from_the_user_stay_inside_the_output_folder(tmp_path):
    folder = tmp_path / run_folder(dataset="../../etc", category="a/b c", model="..", backbone="", key="k")
    assert folder.resolve().is_relative_to((tmp_path / "runs").resolve())


def test_a_name_too_long_for_a_folder_is_cut(tmp_path):
    folder = tmp_path / run_folder(dataset="n" * 300, category="", model="m", backbone="", key="k")
    folder.mkdir(parents=True)
    assert folder.is_dir()
    assert max(len(part) for part in folder.relative_to(tmp_path).parts) < 256


def test_json_is_written_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "r.json", {"a": 1})
    with pytest.raises(ValueError):
        write_json(tmp_path / "r.json", {"a": float("nan")})
    assert json.loads((tmp_path / "r.json").read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["r.json"]  # noqa: PTH208 - names only


def _hold(output, started) -> None:
    store = Store(output)
    with store.lock("k"), store.workspace() as workspace:
        (workspace / "half").touch()
        started.set()
        time.sleep(60)


def test_a_killed_process_frees_its_lock_and_its_leftovers_are_removed(tmp_path):
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, started))
    process.start()
    assert started.wait(60)
    store = Store(tmp_path)
    with store.lock("k", wait=False) as mine:
        assert not mine
    with store.workspace():
        assert len([p for p in (tmp_path / ".work").iterdir() if p.is_dir()]) == 2  # the living one is left alone
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with store.lock("k", wait=False) as mine:
        assert mine
    with store.workspace():
        assert len([p for p in (tmp_path / ".work").iterdir() if p.is_dir()]) == 1


def test_a_name_that_is_not_utf8_is_escaped_and_costs_no_record(tmp_path):
    write_json(tmp_path / "record.json", {"error": {"message": "\udcdf.png"}, "rows": [("\udcdf", 1.5, None)]})
    assert json.loads((tmp_path / "record.json").read_text(encoding="utf-8")) == {
        "error": {"message": r"\xdf.png"},
        "rows": [[r"\xdf", 1.5, None]],
    }
