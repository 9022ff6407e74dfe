"""Where a run's data lie, kept beside its record."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from benchmark.plan.local_paths import LOCAL, read_local, write_local


def padim(data: dict) -> Experiment:
    model = {"backbone": "test_resnet", "pre_trained": False, "image_size": 32, "n_features": 10}
    return Experiment(
        model={"class_path": "extensions.Padim", "init_args": model},
        data={"class_path": "extensions.Folder", "init_args": {"num_workers": 0, "normal_dir": "train/good", **data}},
    )


def test_a_run_keeps_its_data_root_beside_the_record_and_not_in_it(tiny_root, tmp_path, monkeypatch):
    output, options = tmp_path / "out", RunOptions(progress=False, keep_checkpoint=False)
    monkeypatch.setenv("WORKBENCH_DATA", str(tiny_root.parent))
    experiment = padim({"name": "tiny", "root": tiny_root.name, "abnormal_dir": "test/bad"})
    record = run_experiment(experiment, output, options=options)
    assert record.status == "finished"
    (file,) = output.glob(f"runs/**/{LOCAL}")
    assert json.loads(file.read_text())["data_root"] == str(tiny_root.parent)
    assert str(tiny_root.parent) not in (file.parent / "record.json").read_text()

    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / tiny_root.name).symlink_to(tiny_root)
    # The argument comes before the environment; the data are the same, so the record answers.
    again = run_experiment(experiment, output, options=dataclasses.replace(options, data_root=moved))
    assert again.started == record.started
    assert json.loads(file.read_text())["data_root"] == str(moved)


def test_absolute_paths_come_back_for_the_same_experiment_alone(tmp_path):
    given = padim({"name": "tiny", "root": "/somewhere/tiny"})
    told = Experiment(given.canonical["model"], given.canonical["data"], {}, 0)
    assert told.data["init_args"]["root"] == "tiny"
    write_local(tmp_path, given)
    found = read_local(tmp_path, told)
    assert found.experiment.data["init_args"]["root"] == "/somewhere/tiny"
    assert found.data_root == Path.cwd()
    assert read_local(tmp_path, dataclasses.replace(told, data=padim({"name": "other", "root": "tiny"}).data)) is None
    (tmp_path / LOCAL).write_text((tmp_path / LOCAL).read_text().replace('"data_root": "', '"data_root": "\\u0000'))
    assert read_local(tmp_path, told) is None
    (tmp_path / LOCAL).write_text("{}")
    assert read_local(tmp_path, told) is None
    (tmp_path / LOCAL).unlink()
    assert read_local(tmp_path, told) is None


def test_it_is_never_committed():
    root = Path(__file__).parents[3]
    found = subprocess.run(
        ["git", "check-ignore", "--no-index", f"results/x/runs/a/b/c/d/{LOCAL}"], cwd=root, capture_output=True
    )
    assert found.returncode in (0, 128)  # 128: no checkout
    assert LOCAL in (root / ".gitignore").read_text().split()
