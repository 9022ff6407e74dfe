"""A run on tiles: its record is of images, and says what the Engine says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anomalib.engine import Engine

import extensions
from benchmark.api.figures import _panel
from benchmark.one_run.latency import time_images
from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from benchmark.records.packed import read_calibration, read_scores
from benchmark.statistics.requirement import Requirement

TILING = {"tile": 64, "overlap": 16}
MODELS = {
    "Patchcore": {"coreset_sampling_ratio": 0.05, "num_neighbors": 3},
    "Padim": {"n_features": 10},
    "Stfpm": {},
}


def experiment(root: Path, name: str = "Padim", tiling: object = TILING, **arguments: object) -> Experiment:
    model = {"backbone": "test_resnet", "pre_trained": False, "image_size": 64, **MODELS[name]}
    data = {"name": "strips", "root": str(root), "category": "", "num_workers": 0, "tiling": tiling, **arguments}
    return Experiment(
        {"class_path": f"extensions.{name}", "init_args": model},
        {"class_path": "extensions.MVTecAD", "init_args": data},
        trainer={"max_epochs": 1} if name == "Stfpm" else {},
        seed=3,
    )


def run(one: Experiment, output: Path, requirement: Requirement | None = None):
    options = RunOptions(progress=False, requirement=requirement, keep_checkpoint=True)
    record = run_experiment(one, output, options=options)
    assert record.status == "finished", record.error
    return record


@pytest.mark.parametrize("name", list(MODELS))
def test_scores_of_a_record_are_those_of_engine_predict_on_its_checkpoint(name, strips, tmp_path):
    record = run(experiment(strips, name), tmp_path)
    assert (record.dataset.n_train, record.dataset.image_size) == (4, [176, 64])
    assert record.metrics["pixel_AUROC"] is not None
    model = getattr(extensions, name).load_from_checkpoint(tmp_path / record.folder / "model.ckpt")
    model.post_processor = model.evaluator = model.visualizer = None
    quiet = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu", "default_root_dir": tmp_path / "e"}
    datamodule = extensions.MVTecAD(strips, "", name="strips", tiling=TILING, num_workers=0)
    found = Engine(**quiet).predict(model, datamodule=datamodule)
    scores = read_scores(tmp_path, record).set_index("image")["score"]
    assert len(found) == len(scores) == 4
    for batch in found:
        name_of = Path(batch.image_path[0]).relative_to(strips).as_posix()
        assert float(batch.pred_score) == pytest.approx(scores[name_of], abs=1e-4)


def test_tiles_are_part_of_a_run_s_key_and_their_absence_changes_none(strips, tmp_path):
    keys = [run(experiment(strips, tiling=one), tmp_path / str(n)).key for n, one in enumerate((TILING, None))]
    without = experiment(strips)
    del without.data["init_args"]["tiling"]
    assert keys[0] != keys[1] == run(without, tmp_path / "without").key


def test_thresholds_from_training_images_in_folds_are_of_whole_images(strips, tmp_path):
    record = run(experiment(strips), tmp_path, Requirement(max_false_alarms=0.5, cross_conformal=2))
    assert len(read_calibration(tmp_path, record)) == 4


def test_latency_is_that_of_a_whole_image(strips, monkeypatch):
    datamodule = extensions.MVTecAD(strips, "", name="strips", tiling=TILING, num_workers=0)
    datamodule.setup()
    model = extensions.Padim("test_resnet", pre_trained=False, image_size=64, n_features=10)
    model.set_imaging(datamodule.imaging)
    seen = []

    class Network(type(model.model)):
        def forward(self, images):
            from anomalib.data import InferenceBatch

            seen.append(len(images))
            return InferenceBatch(pred_score=images.mean(dim=(1, 2, 3)), anomaly_map=images[:, :1])

    model.model.__class__ = Network
    times = time_images(model, datamodule.test_data[0].image, repeats=3)
    assert np.isfinite(times).all()
    assert seen == [4] * (len(times) + 1)


def test_a_notebook_s_panel_shows_the_whole_image_and_its_stitched_map(strips, tmp_path):
    datamodule = extensions.MVTecAD(strips, "", name="strips", tiling=TILING, num_workers=0)
    quiet = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu", "limit_val_batches": 0}
    model = extensions.Padim("test_resnet", pre_trained=False, image_size=64, n_features=10, visualizer=False)
    Engine(default_root_dir=tmp_path, **quiet).fit(model, datamodule=datamodule)
    panel = _panel(model.eval(), datamodule.test_data[0])
    assert panel.image.shape == (176, 64, 3)
    assert panel.anomaly_map.shape == panel.mask.shape == (176, 64)
