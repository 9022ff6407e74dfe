"""The callback that records a run of anomalib's Engine, held against the benchmark's own record of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from anomalib.engine import Engine
from lightning import seed_everything
from lightning.pytorch.callbacks import EarlyStopping

import benchmark
import extensions
from benchmark.api.recording import Record
from benchmark.plan.validation import check_callbacks
from benchmark.records.record_file import read_record
from benchmark.records.run_files import CHECKPOINT
from extensions.configuration import ConfigError

SMALL = {"backbone": "test_resnet", "layers": ["layer1", "layer2"], "pre_trained": False, "image_size": 64}
SEED = 3


@pytest.fixture(scope="module")
def data(tiny_root):
    def build(**changes):
        folders = {
            "name": "tiny", "root": tiny_root, "normal_dir": "train/good", "normal_test_dir": "test/good",
            "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "train_batch_size": 4, "num_workers": 0,
        }  # fmt: skip
        return extensions.Folder(**folders | changes)

    return build


def padim(**arguments):
    return extensions.Padim(**SMALL, n_features=10, **arguments)


def engine(folder, *callbacks, **arguments):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return Engine(callbacks=list(callbacks), default_root_dir=folder, **quiet | arguments)


@pytest.fixture(scope="module")
def recorded(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    record = extensions.Record(folder / "runs")
    seed_everything(SEED)
    model = padim()
    engine(folder, record).train(model, datamodule=data())
    return record.run, model


@pytest.mark.parametrize(
    ("make", "trainer"),
    [
        (lambda: extensions.Patchcore(**SMALL, coreset_sampling_ratio=0.1), {}),
        (lambda: extensions.Stfpm(**SMALL, visualizer=False), {"max_epochs": 3}),  # shuffles, validates each epoch
    ],
)
def test_the_record_is_that_of_the_benchmark(make, trainer, data, tmp_path):
    record = Record(tmp_path / "mine")
    seed_everything(SEED)
    engine(tmp_path, record, **trainer).train(make(), datamodule=data())
    expected = benchmark.run(make(), data(), trainer=trainer, seed=SEED, output=tmp_path / "theirs", images=0)
    found = record.run
    assert found.key == expected.key
    assert found.scores["image"].tolist() == expected.scores["image"].tolist()
    assert found.scores["score"].to_numpy() == pytest.approx(expected.scores["score"].to_numpy(), rel=1e-5)
    assert found.metrics.to_numpy() == pytest.approx(expected.metrics.to_numpy(), abs=1e-6, nan_ok=True)
    without_loss = [one.record.training.model_copy(update={"loss": []}) for one in (found, expected)]
    assert without_loss[0] == without_loss[1]
    assert found.record.training.loss == pytest.approx(expected.record.training.loss, rel=1e-4)
    assert found.record.on_disk().keys() - {"recorded_by"} == expected.record.on_disk().keys()
    assert found.record.speed.on_disk().keys() == expected.record.speed.on_disk().keys()
    assert found.record.speed.network == expected.record.speed.network
    assert {path.name for path in found.folder.iterdir()} == {path.name for path in expected.folder.iterdir()}


def test_the_parts_of_a_recorded_run_are_judged_as_in_the_benchmark(data, tmp_path):
    record = Record(tmp_path / "mine")
    seed_everything(SEED)
    engine(tmp_path, record).train(padim(), datamodule=data(group="folder", part_score="mean"))
    given = data(group="folder", part_score="mean")
    expected = benchmark.run(padim(), given, seed=SEED, output=tmp_path / "theirs", images=0)
    found, thresholds = record.run.record.thresholds, expected.record.thresholds
    assert record.run.key == expected.key
    assert found.part == pytest.approx(thresholds.part, rel=1e-5)
    scores = record.run.scores.groupby("group")["score"].mean()
    assert found.part == pytest.approx(scores.mean(), rel=1e-5)  # halfway between the two parts
    assert record.run.record.dataset.part_score == "mean"


def test_a_mixed_precision_is_that_of_the_fit_alone(data, tmp_path):
    record = Record(tmp_path / "mine")
    seed_everything(SEED)
    model = extensions.Stfpm(**SMALL, visualizer=False)
    engine(tmp_path, record, max_epochs=1, precision="bf16-mixed").train(model, datamodule=data())
    scores = torch.tensor(record.run.scores["score"].to_numpy(), dtype=torch.float32)
    assert (scores.bfloat16().float() != scores).any()


def test_it_lies_where_the_leaderboard_finds_it(recorded):
    found, _ = recorded
    assert read_record(found.folder / "record.json", found.output) == found.record
    table = pd.read_csv(found.output / "leaderboard.csv")
    assert found.key in table["run_keys"].iloc[0]
    assert "validation" in found.record.recorded_by.notes[0]


def test_its_checkpoint_has_the_thresholds_of_the_record_and_the_engine_keeps_its_own(recorded):
    found, model = recorded
    stored = extensions.Padim.load_from_checkpoint(found.folder / CHECKPOINT).post_processor
    assert float(stored.image_threshold) == pytest.approx(found.threshold)
    assert f"{float(model.post_processor.image_threshold):.6g}" in found.record.recorded_by.notes[1]
    assert found.show(1).axes


def test_fit_and_test_in_two_calls_leave_one_record(data, tmp_path):
    record = Record(tmp_path / "runs", seed=SEED)
    seed_everything(SEED)
    model, own = padim(), engine(tmp_path, record)
    own.fit(model, datamodule=data())
    assert record.run is None
    own.test(model, datamodule=data())
    assert record.run.record.status == "finished"
    assert len(list((tmp_path / "runs").glob("runs/**/record.json"))) == 1


def test_the_benchmarks_own_record_stays(recorded, data, tmp_path, caplog):
    theirs = benchmark.run(padim(), data(), seed=SEED, output=tmp_path / "runs")
    record = Record(tmp_path / "runs")
    seed_everything(SEED)
    engine(tmp_path, record).train(padim(), datamodule=data())
    assert record.run.record == theirs.record
    assert "stays" in caplog.text


def changed(made, **attributes):
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def unseeded():
    np.random.seed(99)  # noqa: NPY002 - as a user who seeds by hand
    seed_everything(99)
    return extensions.Stfpm(**SMALL)


@pytest.mark.parametrize(
    ("make", "arguments", "words"),
    [
        (unseeded, {"max_epochs": 1}, "is not as seed 3 builds it"),
        (lambda: changed(padim(), configure_optimizers=lambda: None), {}, "configure_optimizers was replaced by hand"),
        (lambda: extensions.Padim(pre_trained=False, pre_processor=padim().pre_processor), {}, "given pre_processor="),
        (padim, {"fast_dev_run": True}, "fast_dev_run"),
        (padim, {"limit_test_batches": 1}, "limit_test_batches=1"),
        (padim, {"callbacks": [EarlyStopping("train_loss")]}, "EarlyStopping may change the fit"),
        (padim, {"callbacks": [extensions.Augmentation("flip", "tta")]}, "Augmentation has views"),
    ],
)
def test_what_no_record_holds_is_told_before_the_fit(make, arguments, words, data, tmp_path):
    seed_everything(SEED)
    model, rest = make(), {name: value for name, value in arguments.items() if name != "callbacks"}
    own = engine(tmp_path, Record(tmp_path / "runs", seed=SEED), *arguments.get("callbacks", ()), **rest)
    with pytest.raises(ConfigError, match=words) as caught:
        own.train(model, datamodule=data())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_run_without_a_seed_is_told_before_the_fit(data, tmp_path, monkeypatch):
    model = padim()
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    with pytest.raises(ConfigError, match="has no seed"):
        engine(tmp_path, Record(tmp_path / "runs")).train(model, datamodule=data())


def test_a_model_that_was_trained_before_is_told(recorded, data, tmp_path):
    _, model = recorded
    with pytest.raises(ConfigError, match="is not as seed 3 builds it"):
        engine(tmp_path, Record(tmp_path / "runs", seed=SEED)).train(model, datamodule=data())


def test_other_images_and_other_weights_in_the_test_are_told(recorded, data, tmp_path):
    seed_everything(SEED)
    model, own = padim(), engine(tmp_path, Record(tmp_path / "runs"))
    with pytest.raises(ConfigError, match="follows no fit"):
        own.test(model, datamodule=data())
    seed_everything(SEED)
    model, own = padim(), engine(tmp_path, Record(tmp_path / "runs"))
    own.fit(model, datamodule=data())
    with pytest.raises(ConfigError, match="images of this Folder are not those"):
        own.test(model, datamodule=data(abnormal_dir="test/good", normal_test_dir="test/bad", mask_dir=None))
    model.model.gaussian.mean.zero_()
    with pytest.raises(ConfigError, match="not the one that was trained"):
        own.test(model, datamodule=data())


def test_an_augmented_fit_is_recorded_as_such(data, tmp_path):
    record = Record(tmp_path / "mine")
    seed_everything(SEED)
    engine(tmp_path, record, extensions.Augmentation("flip", "train")).train(padim(), datamodule=data())
    assert [part.on_disk() for part in record.run.record.experiment.augmentation] == [
        {"name": "flip", "where": "train"}
    ]


def test_a_benchmark_refuses_the_callback():
    with pytest.raises(ConfigError, match="Record records"):
        check_callbacks({"callbacks": [{"class_path": "extensions.Record", "init_args": {"output": "x"}}]})


def test_a_second_fit_of_one_engine_which_would_not_train_is_told(data, tmp_path):
    made = engine(tmp_path, Record(tmp_path / "mine"))
    seed_everything(3)
    made.fit(padim(), datamodule=data())
    seed_everything(4)
    with pytest.raises(ConfigError, match="make a new Engine"):
        made.fit(padim(), datamodule=data())
