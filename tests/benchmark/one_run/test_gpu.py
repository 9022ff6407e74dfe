"""Every detector on a GPU: what was fitted there scores the same on the CPU, and the record says what computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.execute.sweep import run_sweep
from benchmark.one_run.latency import moved_to
from benchmark.one_run.memory import PeakMemory
from benchmark.one_run.options import RunOptions
from benchmark.plan.experiment import Experiment
from benchmark.records.archive import read_records
from benchmark.records.record import Record
from extensions.configuration import instantiate_data, instantiate_model

DETECTORS = {
    "Patchcore": ({"coreset_sampling_ratio": 0.1, "num_neighbors": 2}, {}),
    "Padim": ({"n_features": 20}, {}),
    "Stfpm": ({}, {"max_epochs": 2}),
    "Cflow": ({"layers": ["layer2", "layer3"], "fiber_batch_size": 64}, {"max_epochs": 1}),
}
ON_A_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
ON_BOTH = [pytest.param("Padim", "cpu"), *(pytest.param(name, "cuda", marks=ON_A_GPU) for name in DETECTORS)]


def experiment(root: Path, name: str, device: str) -> Experiment:
    arguments, trainer = DETECTORS[name]
    model = {"backbone": "resnet18", "pre_trained": False, "image_size": 64, **arguments}
    data = {
        "name": "tiny", "root": str(root), "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "num_workers": 0,
    }  # fmt: skip
    return Experiment(
        model={"class_path": f"extensions.{name}", "init_args": model},
        data={"class_path": "extensions.Folder", "init_args": data},
        trainer={"accelerator": device} | trainer,
    )


def measured(root: Path, output: Path, name: str, device: str) -> tuple[Record, pd.DataFrame]:
    """The record of one run, and its raw scores by image."""
    run_sweep([experiment(root, name, device)], output, options=RunOptions(progress=False), keep="all")
    (record,) = read_records(output)
    assert record.status == "finished", record.error
    return record, pd.read_csv(output / record.folder / "scores.csv", index_col="image")


@pytest.mark.parametrize(("name", "device"), ON_BOTH)
def test_what_was_fitted_scores_the_same_on_the_cpu(tiny_root, tmp_path, name, device) -> None:
    record, scores = measured(tiny_root, tmp_path, name, device)
    expected_device = "cpu" if device == "cpu" else torch.cuda.get_device_name()
    assert record.speed.latency_device == expected_device
    assert record.speed.latency_ms > 0
    assert record.memory.peak_memory_bytes > 0
    model = instantiate_model(experiment(tiny_root, name, "cpu").model)
    model = type(model).load_from_checkpoint(tmp_path / record.folder / "model.ckpt", map_location="cpu").eval()
    datamodule = instantiate_data(experiment(tiny_root, name, "cpu").data)
    datamodule.setup()
    transform = model.pre_processor.transform
    with torch.inference_mode():
        again = [float(model.model(transform(item.image[None])).pred_score) for item in datamodule.test_data]
    names = [datamodule.relative(path) for path in datamodule.test_data.samples["image_path"]]
    assert np.allclose(scores.loc[names, "score"], again, rtol=2e-4), (scores.loc[names, "score"].tolist(), again)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("name", "tolerance"), [("Padim", 2e-4), ("Stfpm", 2e-2)])
def test_a_run_on_either_device_gives_the_same_scores(tiny_root, tmp_path, name, tolerance) -> None:
    _, scores = measured(tiny_root, tmp_path / "here", name, "cuda")
    _, expected = measured(tiny_root, tmp_path / "there", name, "cpu")
    assert np.allclose(scores["score"], expected.loc[scores.index, "score"], rtol=tolerance)
    assert len(scores) == 8


def test_memory_of_a_run_on_the_cpu_is_that_of_the_process_where_there_is_a_gpu(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with PeakMemory("cpu") as memory:
        pass
    assert memory.peak_bytes > 2**20


def test_a_model_is_timed_where_it_was_trained_and_goes_back() -> None:
    model = torch.nn.Linear(2, 2)
    model.device = torch.device("cpu")
    moves: list[str] = []
    model.to = lambda device: moves.append(str(device))
    with pytest.raises(KeyError), moved_to("cuda", model):
        moves.append("timed")
        raise KeyError
    assert moves == ["cuda", "timed", "cpu"]
