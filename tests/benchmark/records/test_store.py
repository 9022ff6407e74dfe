from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time

import pytest

from benchmark.records.store import RECORD, Store, write_json, write_text

WHERE = {"dataset": "elpv", "category": "", "model": "Padim", "backbone": "resnet18"}


def record(key: str) -> dict:
    return {"key": key, "status": "finished"}


def commit(store: Store, key: str) -> None:
    with store.workspace() as workspace:
        write_text(workspace / "scores.csv", "image\n")
        store.commit(workspace, store.folder(**WHERE, key=key), record(key))


def test_a_committed_run_is_found_again_and_nothing_else_is_left(tmp_path):
    store = Store(tmp_path)
    commit(store, "a" * 16)
    ((folder, found),) = store.records()
    assert found == record("a" * 16)
    assert folder == tmp_path / "runs/elpv/all/Padim-resnet18" / ("a" * 16)
    assert list((tmp_path / ".work").iterdir()) == []


def test_a_run_that_raises_leaves_no_record(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.workspace() as workspace:
        write_text(workspace / "scores.csv", "image\n")
        raise RuntimeError
    assert list(store.records()) == []
    assert list((tmp_path / ".work").iterdir()) == []


def test_committing_again_replaces_the_run(tmp_path):
    store = Store(tmp_path)
    commit(store, "a" * 16)
    (store.folder(**WHERE, key="a" * 16) / "old").touch()
    commit(store, "a" * 16)
    assert not (store.folder(**WHERE, key="a" * 16) / "old").exists()


@pytest.mark.parametrize("content", ["", '{"key": "aaaa', '{"key": "another"}', '{"key": "aaaaaaaaaaaaaaaa"}', "[]"])
def test_a_torn_or_misplaced_record_counts_as_none(tmp_path, content):
    store = Store(tmp_path)
    commit(store, "a" * 16)
    (store.folder(**WHERE, key="a" * 16) / RECORD).write_text(content)
    assert list(store.records()) == []


def test_names_from_the_user_stay_inside_the_output_folder(tmp_path):
    folder = Store(tmp_path).folder(dataset="../../etc", category="a/b c", model="..", backbone="", key="k")
    assert folder.resolve().is_relative_to((tmp_path / "runs").resolve())


def test_a_name_too_long_for_a_folder_is_cut(tmp_path):
    folder = Store(tmp_path).folder(dataset="n" * 300, category="", model="m", backbone="", key="k")
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
