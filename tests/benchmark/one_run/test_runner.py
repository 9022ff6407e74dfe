from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from benchmark.__main__ import main, portable_command
from benchmark.execute.sweep import drop_other_plans, run_sweep, select, write_plan
from benchmark.one_run.evaluation import ScoreCollector
from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.one_run.training import _stopped_by
from benchmark.plan.experiment import Experiment
from benchmark.records.archive import read_records
from benchmark.records.packed import read_resamples
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.statistics.resampling import RESAMPLES
from extensions.configuration import ConfigError
from extensions.runtime.lightning_runs import interruptible

QUIET = RunOptions(progress=False)


def spec(name: str, **arguments) -> dict:
    return {
        "class_path": f"extensions.{name}",
        "init_args": {"backbone": "test_resnet", "pre_trained": False, "image_size": 64, **arguments},
    }


@pytest.fixture(scope="module")
def data(tiny_root) -> dict:
    return {
        "class_path": "extensions.Folder",
        "init_args": {
            "name": "tiny", "root": str(tiny_root), "normal_dir": "train/good", "normal_test_dir": "test/good",
            "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "train_batch_size": 4, "eval_batch_size": 3,
            "num_workers": 0,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def experiment(data) -> Experiment:
    return Experiment(model=spec("Padim", n_features=20), data=data, seed=3)


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory) -> tuple[Path, Record]:
    output = tmp_path_factory.mktemp("sweep")
    record = run_experiment(experiment, output, options=RunOptions(progress=False, images=2))
    assert record.status == "finished", record.error
    (stored,) = read_records(output)
    assert stored == record
    return output / stored.folder, stored


def test_metrics_of_a_record_are_those_scikit_learn_gives_for_its_scores(finished):
    folder, record = finished
    scores = pd.read_csv(folder / "scores.csv")
    metrics = record.metrics
    assert metrics["image_AUROC"] == pytest.approx(roc_auc_score(scores.label, scores.score))
    assert metrics["image_AveragePrecision"] == pytest.approx(average_precision_score(scores.label, scores.score))
    best = max(f1_score(scores.label, scores.score >= t) for t in scores.score)
    assert metrics["image_F1Max"] == pytest.approx(best)
    called = scores.score >= record.thresholds.image
    assert f1_score(scores.label, called) == pytest.approx(best)


def test_resamples_of_a_record_lie_around_its_pixel_metrics(finished):
    folder, record = finished
    resamples = read_resamples(folder.parents[len(record.folder.parts) - 1], record)
    assert len(resamples) == RESAMPLES
    assert {"pixel_AUROC", "pixel_AveragePrecision", "pixel_F1Max", "pixel_AUPRO", "pixel_AUPRO_005"} <= {*resamples}
    for name, values in resamples.items():
        assert values.between(0, 1).all()
        assert values.min() <= record.metrics[name] <= values.max(), name
    first = (folder / "resamples.csv").read_text().splitlines()[1]
    assert all(len(cell.replace(".", "").lstrip("0")) <= 5 for cell in first.split(","))


def test_raw_scores_and_pixel_auroc_equal_those_of_the_engine_on_the_kept_checkpoint(finished, experiment):
    from anomalib.engine import Engine
    from anomalib.post_processing import PostProcessor

    from extensions import Padim
    from extensions.configuration import instantiate_data

    folder, record = finished
    raw = PostProcessor(enable_normalization=False, enable_thresholding=False)
    model = Padim.load_from_checkpoint(folder / "model.ckpt", visualizer=False)
    model.post_processor = raw
    engine = Engine(logger=False, default_root_dir=folder / "engine", enable_progress_bar=False)
    batches = engine.predict(model=model, datamodule=instantiate_data(experiment.data))
    predicted = {
        Path(p).parent.name + "/" + Path(p).name: float(s)
        for b in batches
        for p, s in zip(b.image_path, b.pred_score, strict=True)
    }
    recorded = {
        "/".join(image.split("/")[-2:]): score
        for image, score in pd.read_csv(folder / "scores.csv")[["image", "score"]].itertuples(index=False)
    }
    assert predicted == pytest.approx(recorded, abs=1e-4)
    maps = np.concatenate([b.anomaly_map.numpy().ravel() for b in batches])
    masks = np.concatenate([b.gt_mask.numpy().ravel() for b in batches])
    assert record.metrics["pixel_AUROC"] == pytest.approx(roc_auc_score(masks, maps), abs=1e-4)


def test_a_kept_checkpoint_carries_the_thresholds_of_its_record(finished):
    from extensions import Padim

    folder, record = finished
    post_processor = Padim.load_from_checkpoint(folder / "model.ckpt").post_processor
    assert float(post_processor.image_threshold) == pytest.approx(record.thresholds.image)
    assert float(post_processor.pixel_threshold) == pytest.approx(record.thresholds.pixel)
    assert float(post_processor.image_min) < float(post_processor.image_max)


def test_a_record_says_what_a_reader_needs(finished):
    folder, record = finished
    assert record.layers == ["layer1", "layer2", "layer3"]
    assert record.settings == "n_features=20, pre_trained=False"
    how_it_lies = {"position_score", "position_registered", "position_remark"}
    found = {name: value for name, value in record.dataset.on_disk().items() if name not in how_it_lies}
    assert found | {"sha256": ""} == {
        "name": "tiny", "category": "", "synthetic": False, "sha256": "", "k_shot": None, "contamination_ratio": 0.0,
        "n_train": 8, "n_test_normal": 4, "n_test_anomalous": 4, "n_masks": 4, "defect_kinds": {"bad": 4},
        "image_size": [64, 64], "training": "one_each",
    }  # fmt: skip
    assert record.training.stopped_by == "single pass"
    assert record.speed.fit_seconds > 0
    assert 0 < record.speed.latency_ms <= record.speed.latency_p95_ms
    assert record.memory.peak_memory_bytes > record.memory.model_bytes > 0
    assert {panel.kind for panel in record.files.images} >= {"typical good"}
    assert all((folder / panel.panel).exists() for panel in record.files.images)


def test_the_same_experiment_gives_the_same_scores_and_is_not_run_twice(finished, experiment, tmp_path):
    folder, record = finished
    assert run_experiment(experiment, folder.parents[4], options=QUIET) == record
    again = run_experiment(experiment, tmp_path, options=QUIET)
    assert again.metrics == record.metrics
    assert again.key == record.key
    assert (tmp_path / again.folder / "scores.csv").read_text() == (folder / "scores.csv").read_text()


def test_failures_and_missing_data_are_records_and_the_sweep_goes_on(data, experiment, tmp_path):
    experiments = [
        Experiment(model=spec("Padim", n_features=99999), data=data),
        Experiment(model=spec("Padim"), data={**data, "init_args": {**data["init_args"], "normal_dir": "nowhere"}}),
        Experiment(model=spec("Stfpm"), data=data),
        experiment,
    ]
    counts = run_sweep(experiments, tmp_path, options=QUIET)
    assert counts == {"failed": 2, "missing": 1, "finished": 1}
    records = {r.experiment_id: r for r in read_records(tmp_path)}
    messages = [records[e.experiment_id].error.message for e in experiments[:3]]
    assert "n_features" in messages[0]
    assert "nowhere" in messages[1]
    assert "max_epochs" in messages[2]
    assert all("\n" not in message for message in messages)
    started = {key: r.started for key, r in records.items()}
    time.sleep(1.1)
    run_sweep(experiments, tmp_path, options=RunOptions(progress=False, overwrite="failed"))
    again = {r.experiment_id: r.started for r in read_records(tmp_path)}
    assert [started[e.experiment_id] == again[e.experiment_id] for e in experiments] == [False, False, False, True]


def test_only_the_best_checkpoint_of_a_model_and_data_set_is_kept(data, tmp_path):
    experiments = [Experiment(model=spec("Padim", n_features=n), data=data, seed=s) for n, s in ((2, 0), (20, 1))]
    run_sweep(experiments, tmp_path, options=QUIET, keep="best")
    records = list(read_records(tmp_path))
    kept = [record for record in records if record.files.checkpoint]
    assert [record.metrics["image_AUROC"] for record in kept] == [max(r.metrics["image_AUROC"] for r in records)]
    assert [(tmp_path / r.folder / "model.ckpt").exists() for r in records] == [
        bool(r.files.checkpoint) for r in records
    ]


def test_a_sweep_leaves_the_checkpoints_of_others_in_its_folder(data, finished, experiment, tmp_path):
    folder, _ = finished
    shutil.copytree(folder.parents[4], tmp_path / "shared")
    other = Experiment(model=spec("Padim", n_features=5), data=data)
    run_sweep([other], tmp_path / "shared", options=QUIET, keep="best")
    shared = tmp_path / "shared"
    assert {r.experiment_id: (shared / r.folder / "model.ckpt").exists() for r in read_records(shared)} == {
        experiment.experiment_id: True,
        other.experiment_id: True,
    }


def test_images_outside_the_root_keep_their_names_apart_and_their_kinds(data, tiny_root, tmp_path):
    arguments = data["init_args"] | {"root": str(tiny_root / "train"), "normal_dir": "good", "mask_dir": None}
    arguments |= {"normal_test_dir": str(tiny_root / "test/good"), "abnormal_dir": str(tiny_root / "test/bad")}
    experiment = Experiment(model=spec("Padim", n_features=2), data=data | {"init_args": arguments})
    record = run_experiment(experiment, tmp_path, options=QUIET)
    assert record.status == "finished", record.error
    scores = pd.read_csv(tmp_path / record.folder / "scores.csv")
    assert sorted(scores["image"]) == [f"../test/{kind}/{i:03}.png" for kind in ("bad", "good") for i in range(4)]
    assert sorted(scores["kind"]) == ["bad"] * 4 + ["good"] * 4


def test_a_data_set_without_test_images_is_a_failure_that_says_so(data, tmp_path):
    arguments = data["init_args"] | {"abnormal_dir": None, "normal_test_dir": None, "mask_dir": None}
    arguments |= {"test_split_mode": "none"}
    experiment = Experiment(model=spec("Padim"), data=data | {"init_args": arguments})
    record = run_experiment(experiment, tmp_path, options=QUIET)
    assert (record.status, record.error.message[:33]) == ("failed", "data set 'tiny' has no test image")


def test_no_threshold_is_made_from_anomalous_images_alone():
    samples = pd.DataFrame({"path": ["a", "b"], "image": ["a", "b"], "label": [1, 1], "kind": ["bad", "bad"]})
    collector = ScoreCollector(samples, with_masks=False)
    collector.samples["score"] = [1.0, 2.0]
    found = collector.finish()
    assert found.thresholds.on_disk() == {
        "image": None,
        "pixel": None,
        "source": "none, for there are no good test images",
    }
    assert set(found.metrics.values()) == {None}


def test_ctrl_c_in_a_fit_interrupts_the_sweep_and_can_be_pressed_again():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:  # what Lightning does with it
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            sys.exit(1)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("epochs", "limit", "should_stop", "said"),
    [
        (3, 3, False, "max_epochs"),
        (3, 3, True, "max_epochs"),
        (2, 3, True, "early stopping"),
        (2, 3, False, "limit of steps or time"),
        (2, None, False, "limit of steps or time"),
    ],
)
def test_what_ended_a_training_is_named(epochs, limit, should_stop, said):
    assert _stopped_by(SimpleNamespace(callbacks=[], should_stop=should_stop), epochs, limit) == said


def test_a_gradient_model_records_its_curve_and_is_not_called_converged_after_three_epochs(data, tmp_path):
    record = run_experiment(
        Experiment(model=spec("Stfpm", lr=0.05), data=data, trainer={"max_epochs": 3}), tmp_path, options=QUIET
    )
    assert record.status == "finished", record.error
    training = record.training
    assert (training.epochs, training.max_epochs, training.stopped_by) == (3, 3, "max_epochs")
    assert training.converged is False
    assert len(training.loss) == 3
    assert training.loss[-1] < training.loss[0]
    assert math.isfinite(training.loss[-1])


def test_early_stopping_by_config_is_named_in_the_record(data, tmp_path):
    stop = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "train_loss", "patience": 1, "min_delta": 1e9, "check_on_train_epoch_end": True}}  # fmt: skip # noqa: E501
    trainer = {"max_epochs": 9, "callbacks": [stop]}
    record = run_experiment(Experiment(model=spec("Stfpm"), data=data, trainer=trainer), tmp_path, options=QUIET)
    assert record.status == "finished", record.error
    assert record.training.stopped_by == "early stopping"
    assert record.training.epochs < 9


def test_early_stopping_on_held_out_training_images_is_recorded_with_its_curve(data, tmp_path):
    stop = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "val_loss", "patience": 1, "min_delta": 1e9}}  # fmt: skip # noqa: E501
    held_out = {**data, "init_args": {**data["init_args"], "val_split_mode": "from_train", "val_split_ratio": 0.25}}
    one = Experiment(
        model=spec("ContrastiveStfpm", contrastive_weight=0), data=held_out,
        trainer={"max_epochs": 5, "callbacks": [stop]},
    )  # fmt: skip
    training = run_experiment(one, tmp_path, options=QUIET).training
    assert (training.epochs, training.stopped_by) == (2, "early stopping")
    assert len(training.val_loss) == len(training.loss) == 2
    assert all(0 < loss < 12 for loss in training.val_loss)


def test_known_defects_are_in_the_record_and_refused_to_models_that_take_them_for_good(data, tmp_path):
    known = {**data, "init_args": {**data["init_args"], "known_defects": 2, "set_aside": 3}}
    own = run_experiment(
        Experiment(model=spec("Cdo", layers=["layer1"]), data=known, trainer={"max_epochs": 1}), tmp_path, options=QUIET
    )
    assert own.status == "finished", own.error
    assert (own.dataset.known_kinds, own.dataset.n_known_defects) == ({"bad": 2}, 2)
    assert (own.dataset.n_train, own.dataset.n_test_anomalous) == (10, 1)
    stock = {"class_path": "anomalib.models.Dfkde", "init_args": {"backbone": "test_resnet", "pre_trained": False}}
    for model, name in ((stock, "Dfkde"), (spec("Padim", n_features=20), "Padim")):
        refused = run_experiment(Experiment(model=model, data=known), tmp_path, options=QUIET)
        assert refused.status == "failed"
        assert refused.error.message.startswith(f"{name} learns from good images alone, but the training images of")


def test_early_stopping_on_a_test_set_is_a_failed_record_that_says_what_to_do(data, tmp_path):
    stop = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "val_loss"}}
    one = Experiment(model=spec("ContrastiveStfpm"), data=data, trainer={"max_epochs": 5, "callbacks": [stop]})
    record = run_experiment(one, tmp_path, options=QUIET)
    assert record.status == "failed"
    assert "val_split_mode=from_train" in record.error.message


def test_a_filter_that_leaves_nothing_names_what_there_is(experiment):
    assert select([experiment], {"model": ["padim"], "settings": ["n_features=20"]}) == [experiment]
    with pytest.raises(ConfigError, match="model: Padim"):
        select([experiment], {"model": ["Patchcore"]})
    with pytest.raises(ConfigError, match="unknown key"):
        select([experiment], {"modle": ["Padim"]})


def test_a_filter_given_twice_means_either(experiment, data):
    other = Experiment(model=spec("Patchcore"), data=data, seed=3)
    third = Experiment(model=spec("Stfpm"), data=data, seed=3)
    chosen = select([experiment, other, third], {"model": ["Padim", "patchcore"], "seed": ["3"]})
    assert chosen == [experiment, other]
    with pytest.raises(ConfigError, match="model=Cflow leaves no experiment"):
        select([experiment, other], {"model": ["Padim", "Cflow"]})


def test_a_name_that_is_not_utf8_costs_its_own_run_alone(data, tiny_root, tmp_path, capsys):
    shutil.copytree(tiny_root, tmp_path / "bad")
    (tmp_path / "bad/test/bad/000.png").rename(tmp_path / "bad/test/bad" / os.fsdecode(b"Stra\xdfe.png"))
    arguments = data["init_args"] | {"name": "bad", "root": str(tmp_path / "bad"), "mask_dir": None}
    model = spec("Padim", n_features=10)
    both = [Experiment(model, {**data, "init_args": arguments}), Experiment(model, data)]
    counts = run_sweep(both, tmp_path / os.fsdecode(b"out\xdf"), options=QUIET, keep="none")
    assert counts == {"failed": 1, "finished": 1}
    (failed,) = (r for r in read_records(tmp_path / os.fsdecode(b"out\xdf")) if r.status == "failed")
    assert r"test/bad/Stra\xdfe.png; rename them" in failed.error.message
    assert r"Stra\xdfe.png" in capsys.readouterr().out


def test_a_stock_datamodule_without_a_seed_gives_the_same_run_twice(tiny_root, tmp_path):
    arguments = {"name": "x", "root": str(tiny_root), "normal_dir": "train/good", "abnormal_dir": "test/bad"}
    stock = {"class_path": "anomalib.data.Folder", "init_args": arguments | {"num_workers": 0}}
    one = Experiment(model=spec("Padim", n_features=10), data=stock)
    first, second = (run_experiment(one, tmp_path / name, options=QUIET) for name in ("a", "b"))
    assert first.status == second.status == "finished", first.error
    assert (first.key, first.metrics) == (second.key, second.metrics)
    assert first.metrics["image_AUROC"] is not None


def test_an_error_from_the_depths_names_model_step_and_kind(data, tmp_path):
    one = Experiment(model={"class_path": "anomalib.models.Fre", "init_args": {"backbone": "nosuchnet"}}, data=data)
    one = replace(one, trainer={"max_epochs": 1})
    record = run_experiment(one, tmp_path, options=QUIET)
    assert re.match(r"Fre, building the model: \w+: .*nosuchnet", record.error.message)


def test_a_killed_sweep_resumes_without_rerunning_what_was_finished(data, tmp_path):
    config = {"name": "cut", "models": [spec("Padim", n_features=10)], "data": [data], "seeds": [0, 1, 2]}
    (tmp_path / "cut.yaml").write_text(yaml.safe_dump(config))
    output = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "benchmark",
        "run",
        "--config",
        str(tmp_path / "cut.yaml"),
        "--output",
        str(output),
    ]
    cut = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(read_records(output)) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(cut.pid, signal.SIGKILL)
    cut.wait()
    before = {record.folder: record for record in read_records(output)}
    assert 1 <= len(before) < 3
    assert main(command[3:]) == 0
    after = {record.folder: record for record in read_records(output)}
    assert len(after) == 3
    later = {"files": None, "speed": None}  # checkpoints are pruned and latencies measured when all are there
    unchanged = {folder: record.on_disk() | later for folder, record in after.items() if folder in before}
    assert unchanged == {folder: record.on_disk() | later for folder, record in before.items()}
    assert len({record.speed.latency_session for record in after.values()} - {None}) == 1
    assert (output / "leaderboard.xlsx").exists()


def test_a_changed_configuration_replaces_the_plan_of_its_sweep_and_no_other(experiment, tmp_path):
    def plans() -> list[tuple[str, int]]:
        read = [json.loads(path.read_text()) for path in (tmp_path / "plans").glob("*.json")]
        return sorted((plan["sweep"], len(plan["experiments"])) for plan in read)

    def sweep(name: str, experiments: list[Experiment], **options) -> None:
        plan = write_plan(Store(tmp_path), experiments, sweep=name, command="", config="")
        if not options.get("partial"):
            drop_other_plans(plan, sweep=name)

    other_seed = Experiment(model=experiment.model, data=experiment.data, seed=9)
    sweep("a", [experiment, other_seed])
    sweep("b", [experiment])
    sweep("a", [other_seed], partial=True)
    assert plans() == [("a", 1), ("a", 2), ("b", 1)]
    sweep("a", [experiment])
    assert plans() == [("a", 1), ("b", 1)]


def test_a_filter_knows_a_data_set_by_the_name_the_tables_give_it(experiment):
    drawn = Experiment(model=experiment.model, data={"class_path": "extensions.ElpvSynthetic"})
    assert select([experiment, drawn], {"dataset": ["elpv_synthetic"]}) == [drawn]


def test_the_recorded_command_names_no_folder_of_this_machine():
    told = portable_command(["run", "--data-root", "/mnt/line 3/images", "--output", "output/a"])
    assert told == "python -m benchmark run --data-root images --output output/a"


def held_out(data: dict) -> dict:
    return {**data, "init_args": {**data["init_args"], "val_split_mode": "from_train", "val_split_ratio": 0.25}}


def autoencoder(name: str, **arguments) -> dict:
    return {"class_path": f"extensions.{name}", "init_args": {"latent_dim": 4, "image_size": 64, **arguments}}


def test_an_autoencoder_and_an_svm_from_its_checkpoint_record_their_label_free_decisions(data, tmp_path):
    strip = {"class_path": "extensions.ReconstructionStrip", "init_args": {"every_n_epochs": 2, "n_images": 2, "folder": str(tmp_path / "strips")}}  # fmt: skip # noqa: E501
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": str(tmp_path / "log")}}
    trainer = {"max_epochs": 3, "callbacks": [strip], "logger": logger}
    one = Experiment(model=autoencoder("ConvAutoencoder"), data=held_out(data), trainer=trainer)
    record = run_experiment(one, tmp_path, options=QUIET)
    assert record.status == "finished", record.error
    assert (record.backbone, record.layers, record.weights) == ("", [], None)
    scores = pd.read_csv(tmp_path / record.folder / "scores.csv")
    called, metrics = scores.score >= record.thresholds.label_free, record.metrics
    assert metrics["label_free_F1Score"] == pytest.approx(f1_score(scores.label, called))
    assert metrics["label_free_Accuracy"] == pytest.approx((called == scores.label).mean())
    assert metrics["image_AUROC/bad"] == pytest.approx(metrics["image_AUROC"])
    assert metrics["pixel_AUROC"] is not None
    assert len(record.training.val_loss) == 3
    assert sorted(path.name for path in (tmp_path / "strips").iterdir()) == ["epoch_0002.png", "epoch_0003.png"]
    assert "val_loss" in next((tmp_path / "log").rglob("metrics.csv")).read_text()
    watched = Experiment(model=one.model, data=one.data, trainer={"max_epochs": 3})
    assert watched.experiment_id == one.experiment_id  # looking on changes no result

    model = autoencoder("AutoencoderOcSvm", autoencoder_checkpoint=str(tmp_path / record.folder / "model.ckpt"))
    again = run_experiment(Experiment(model=model, data=held_out(data)), tmp_path / "svm", options=QUIET)
    assert again.status == "finished", again.error
    assert again.training.stopped_by == "single pass"
    assert again.thresholds.label_free == 0
    assert again.weights.source == "model.ckpt"
    assert again.metrics["pixel_AUROC"] == pytest.approx(metrics["pixel_AUROC"])


def test_a_detector_without_a_map_has_blank_pixel_metrics_and_images_without_one(data, tmp_path):
    options = RunOptions(progress=False, images=2)
    record = run_experiment(Experiment(model=spec("BackboneOcSvm"), data=data), tmp_path, options=options)
    assert record.status == "finished", record.error
    assert record.metrics["image_AUROC"] is not None
    assert {value for name, value in record.metrics.items() if name.startswith("pixel")} == {None}
    assert record.files.images
    sizes = {Image.open(tmp_path / record.folder / panel.panel).size for panel in record.files.images}
    assert sizes == {(256, 256)}


def test_a_fit_that_gives_up_is_not_ranked(data, tmp_path):
    one = Experiment(model=autoencoder("ConvAutoencoder", lr=1e30), data=data, trainer={"max_epochs": 9})
    training = run_experiment(one, tmp_path, options=QUIET).training
    assert (training.stopped_by, training.converged, training.rewinds) == ("loss not finite", False, 3)
