"""What a disk without room does to a sweep; the kills are in test_workers.py."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from contextlib import contextmanager

import pytest

from benchmark.__main__ import main
from benchmark.api.output_tables import write_tables
from benchmark.records.archive import read_records
from benchmark.records.run_files import write_json
from benchmark.report.write import ReportError
from extensions.runtime.disk import DiskFullError, lack_of_room, room_for
from tests.benchmark.fabricated import make_record, write

LIMITS = {
    "record.json": 2_100,
    "resamples.csv": 2_100,
    "model.ckpt": 1_000_000,
}  # bytes; each file before the named one is smaller


@contextmanager
def files_of_at_most(n_bytes: int):
    """The operating system refuses to let a file grow further, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_for_which_there_is_no_room_is_named_with_its_size_and_leaves_what_was_there(tmp_path):
    write_json(tmp_path / "record.json", {"a": 1})
    with files_of_at_most(1000), pytest.raises(DiskFullError) as caught:
        write_json(tmp_path / "record.json", {"a": "b" * 5000})
    message = str(caught.value)
    assert "record.json could not be written" in message
    assert "it needs 5.0 kB" in message
    assert "--output" in message
    assert json.loads((tmp_path / "record.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_full_disk_is_found_beneath_what_a_library_makes_of_it(tmp_path):
    with pytest.raises(DiskFullError), files_of_at_most(1000), room_for(tmp_path / "file"):
        try:
            (tmp_path / "file").write_bytes(b"0" * 5000)
        except OSError as error:
            msg = "writer failed"
            raise RuntimeError(msg) from error
    with pytest.raises(PermissionError), room_for(tmp_path):
        raise PermissionError
    assert lack_of_room(RuntimeError()) is None


def test_tables_for_which_there_is_no_room_are_named_and_those_that_were_there_stay(tmp_path):
    write(tmp_path, [make_record()])
    before = {path: path.read_bytes() for path in write_tables(tmp_path)}
    with files_of_at_most(100), pytest.raises(ReportError) as caught:
        write_tables(tmp_path)
    for name in ("csv", "xlsx", "html"):
        assert f"leaderboard.{name} could not be written: File too large" in str(caught.value)
    assert {path: path.read_bytes() for path in before} == before
    assert not list(tmp_path.glob(".leaderboard*"))


@pytest.mark.parametrize(("file", "keep", "executor"), [
    ("record.json", "none", "local"),
    pytest.param("resamples.csv", "none", "local", marks=pytest.mark.slow),
    pytest.param("model.ckpt", "all", "processes:2", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_sweep_on_a_full_disk_says_so_and_finishes_when_there_is_room(tiny_config, tmp_path, file, keep, executor):
    output = tmp_path / "out"
    config = tiny_config(2, keep=keep)
    if file == "record.json":  # without masks there are no resamples, which need more room
        config.write_text(config.read_text().replace("mask_dir: mask/bad", "mask_dir: null"))
    command = [sys.executable, "-m", "benchmark", "run", "--config", str(config)]
    command += ["--output", str(output), "--executor", executor]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMITS[file], resource.RLIM_INFINITY))

    full = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert full.returncode == 1, full.stderr
    (sentence,) = [line for line in full.stderr.splitlines() if line.startswith("error:")]
    assert f"{file} could not be written: file too large (it needs " in sentence
    assert "make room there" in sentence
    assert "Traceback" not in full.stderr
    assert list(output.rglob("record.json")) == []
    assert main(command[3:]) == 0
    records = list(read_records(output))
    assert [record.status for record in records] == ["finished"] * 2
    assert list((output / ".work").iterdir()) == []
