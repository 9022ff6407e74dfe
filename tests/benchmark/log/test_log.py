"""Records sent to loggers: with stand-ins that always run, and with the real packages where they are installed."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest
import yaml

import benchmark.log.sinks as module
from benchmark.__main__ import main
from benchmark.log import Sink, check_log, open_sinks, send
from benchmark.log.record_facts import facts_to_send
from benchmark.plan.experiment import Experiment
from benchmark.records.archive import read_records
from benchmark.records.record import Record
from benchmark.records.record_file import write_record
from extensions.configuration import ConfigError


@pytest.fixture
def record(tmp_path):
    """A finished record; its folder is in `tmp_path`."""
    folder = tmp_path / "runs" / "caps" / "all" / "Stfpm-resnet18" / "0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "scores.csv").write_text("image,label,kind,score,fold\na.png,0,good,0.5,0\nb.png,1,dent,2.5,1\n")
    experiment = Experiment(
        {"class_path": "extensions.Stfpm", "init_args": {"backbone": "resnet18", "layers": ["layer1"]}},
        {"class_path": "extensions.Folder", "init_args": {"name": "caps", "root": "/data/caps", "normal_dir": "good"}},
        {"max_epochs": 2},
        seed=4,
    )
    found = {
        "key": "0123456789abcdef", "status": "finished", "model": "Stfpm", "backbone": "resnet18",
        "settings": "max_epochs=2", "experiment": experiment.canonical, "weights": {"sha256": "ab"},
        "dataset": {"name": "caps", "category": "", "n_train": 7},
        "metrics": {"image_AUROC": 0.75, "image_AUROC/dent (large)": 0.5, "pixel_AUROC": None},
        "thresholds": {"image": 1.5, "source": "maximal F1"},
        "training": {"epochs": 2, "converged": True, "stopped_by": "max_epochs", "loss": [3.0, 2.0], "val_loss": []},
        "speed": {"fit_seconds": 12.0, "latency_ms": 8.0}, "memory": {"model_bytes": 100},
        "files": {"scores": "scores.csv", "checkpoint": None, "images": []},
    }  # fmt: skip
    found = Record.model_validate(found | {"folder": folder.relative_to(tmp_path)})
    write_record(folder, found)
    return found


def test_what_is_sent_of_a_record(record, tmp_path):
    facts = facts_to_send(record, tmp_path / record.folder)
    told = {"key": "0123456789abcdef", "model": "Stfpm", "backbone": "resnet18", "settings": "max_epochs=2",
            "dataset": "caps", "seed": 4, "model.layers": "['layer1']", "data.root": "caps",
            "trainer.max_epochs": 2}  # fmt: skip
    assert facts.parameters | told == facts.parameters
    assert facts.metrics == {
        "image_AUROC": 0.75, "image_AUROC/dent (large)": 0.5, "image_threshold": 1.5, "fit_seconds": 12.0,
        "latency_ms": 8.0, "model_bytes": 100.0, "epochs": 2.0,
    }  # fmt: skip
    assert facts.curves == {"train_loss": [3.0, 2.0]}
    assert set(facts.files) == {"record", "scores"}
    assert facts.scores["score"].tolist() == [0.5, 2.5]


def test_each_form_of_the_section_is_read():
    assert check_log(None) == {}
    assert check_log("wandb") == {"wandb": {}}
    assert check_log(["tensorboard", {"wandb": {"project": "x"}}]) == {"tensorboard": {}, "wandb": {"project": "x"}}
    assert check_log([{"mlflow": {"experiment": "x"}}, ["mlflow"]]) == {"mlflow": {"experiment": "x"}}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("wandbb", "did you mean wandb"),
        ({"wandb": {"projekt": "x"}}, "did you mean project"),
        ({"wandb": "x"}, "expected settings by name"),
        (3, "expected a name such as tensorboard"),
    ],
)
def test_what_is_no_logger_is_told_in_one_sentence(section, words):
    with pytest.raises(ConfigError, match=words):
        check_log(section)


def test_a_missing_package_is_told_before_any_run(tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    path = tiny_config(1, log=["tensorboard"])
    assert main(["run", "--config", str(path), "--output", str(tmp_path / "out")]) == 1
    assert "tensorboard is not installed; run: pip install tensorboard" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("runs"))
    with pytest.raises(ConfigError, match="pip install mlflow"):
        open_sinks("mlflow")


def test_a_record_is_sent_once_to_each_logger(record, tmp_path):
    sent = []
    sink = Sink("wandb", {}, lambda facts, settings, output: sent.append((facts.key, settings, output)))
    for _ in range(2):
        send(record, sinks=[sink], output=tmp_path)
    assert sent == [("0123456789abcdef", {}, tmp_path)]
    other = Sink("wandb", {"project": "other"}, sink.write)
    send(record, sinks=[other], output=tmp_path)
    assert len(sent) == 2
    send(record.model_copy(update={"status": "failed"}), sinks=[Sink("mlflow", {}, sink.write)], output=tmp_path)
    assert len(sent) == 2


def test_a_logger_that_fails_is_one_warning_and_harms_nothing(record, tmp_path, caplog):
    def fails(facts, settings, output):
        msg = "no\nroom"
        raise OSError(msg)

    sent = []
    sinks = [Sink("wandb", {}, fails), Sink("mlflow", {}, lambda facts, *_: sent.append(facts.key))]
    send(record, sinks=sinks, output=tmp_path)
    assert sent == [record.key]
    (line,) = [entry.getMessage() for entry in caplog.records]
    assert "not sent to wandb (OSError: no room)" in line
    assert (tmp_path / record.folder / "record.json").is_file()


def test_a_sweep_sends_each_finished_run_with_its_final_record(tiny_config, tmp_path, monkeypatch, capsys):
    sent = []
    writer = ModuleType("writer")
    writer.write = lambda facts, settings, output: sent.append((facts, settings))
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "benchmark.log.to_tensorboard", writer)
    monkeypatch.setitem(sys.modules, "benchmark.log.to_wandb", writer)
    path, output = tiny_config(2, log={"wandb": {"project": "x"}}), tmp_path / "out"
    for _ in range(2):
        assert main(["run", "--config", str(path), "--output", str(output), "--log", "tensorboard"]) == 0
    records = list(read_records(output))
    assert sorted(facts.key for facts, _ in sent) == sorted(2 * [found.key for found in records])
    assert [settings for _, settings in sent[:2]] == [{"project": "x"}, {}]
    latencies = {found.key: found.speed.latency_ms for found in records}
    assert all(facts.metrics["latency_ms"] == latencies[facts.key] for facts, _ in sent)
    plain = yaml.safe_load(path.read_text())
    del plain["log"]
    path.write_text(yaml.safe_dump(plain))
    assert main(["run", "--config", str(path), "--output", str(output), "--dry-run"]) == 0
    assert "0 to do" in capsys.readouterr().out, "loggers are no part of a key"


def test_tensorboard_reads_back_what_was_sent(record, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    send(record, sinks=open_sinks("tensorboard"), output=tmp_path)
    (folder,) = (tmp_path / "tensorboard").iterdir()
    found = EventAccumulator(str(folder))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("train_loss")] == [(0, 3.0), (1, 2.0)]
    assert found.Scalars("image_AUROC")[0].value == 0.75
    assert "parameters/text_summary" in found.Tags()["tensors"]


def test_mlflow_reads_back_what_was_sent(record, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    send(record, sinks=open_sinks({"mlflow": {"experiment": "caps"}}), output=tmp_path)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("caps")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["key"] == "0123456789abcdef"
    assert run.data.params["trainer.max_epochs"] == "2"
    assert run.data.metrics["image_AUROC"] == 0.75
    assert run.data.metrics["image_AUROC/dent _large_"] == 0.5
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "train_loss")] == [(0, 3.0), (1, 2.0)]
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["scores.json"]


def test_wandb_writes_a_run_without_a_network(record, tmp_path):
    pytest.importorskip("wandb")
    send(record, sinks=open_sinks({"wandb": {"project": "caps"}}), output=tmp_path)
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-0123456789abcdef.wandb")
    written = file.read_bytes()
    assert all(word in written for word in (b"caps", b"image_AUROC", b"train_loss", b"trainer.max_epochs"))
    assert json.loads((record[1] / "sent.json").read_text()) == {"wandb": {"project": "caps"}}
