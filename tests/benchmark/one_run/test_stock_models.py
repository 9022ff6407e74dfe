"""anomalib's own models in the benchmark: each that has a config runs to a finished record with finite scores."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from benchmark.records.run_files import SCORES
from extensions.configuration import load_config

CONFIGS = sorted((Path(__file__).parents[3] / "configs/models/anomalib").glob("*.yaml"))
BACKBONES = ("resnet18", "tf_efficientnet_lite0")
SIDES = {"Supersimplenet": 128}  # px; its noise has no shape on fewer positions
SIDE = 64  # px, of the others
SMALLER = {
    "Dfkde": {"n_pca_components": 4},
    "Fre": {"input_dim": 112 * 2 * 2},
    "Ganomaly": {"batch_size": 4, "n_features": 8, "latent_vec_size": 8},
    "Glass": {"input_shape": [SIDE, SIDE], "pretrain_embed_dim": 32, "target_embed_dim": 32},
    "MHPatchcore": {"memory_bank_size": 50, "local_coreset_size": 50},
    "Cflow": {"coupling_blocks": 2},
}
WITHOUT_MAP = {"Dfkde", "Ganomaly"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with random tensors of the backbones in these configs."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    rows = []
    for name in BACKBONES:
        network = timm.create_model(name, pretrained=False, num_classes=0)
        save_file(network.state_dict(), folder / f"{name}.safetensors")
        rows.append(f"- {{name: {name}, file: {name}.safetensors}}\n")
    (folder / "manifest.yaml").write_text("".join(rows), encoding="utf-8")
    return folder


def smaller(model: dict[str, Any]) -> dict[str, Any]:
    """The model of a config for images of 64 px."""
    name = model["class_path"].rsplit(".", 1)[-1]
    processor = model["init_args"]["pre_processor"]
    sized = {**processor, "init_args": processor["init_args"] | {"image_size": SIDES.get(name, SIDE)}}
    return {**model, "init_args": model["init_args"] | {"pre_processor": sized} | SMALLER.get(name, {})}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_stock_model_gives_a_finished_record_with_finite_scores(path, weights, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(weights))
    config = load_config(path)
    name = config["model"]["class_path"].rsplit(".", 1)[-1]
    data = {
        "name": "tiny", "root": str(tiny_root), "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "num_workers": 0, "train_batch_size": 4,
    }  # fmt: skip
    one = Experiment(
        model=smaller(config["model"]),
        data={"class_path": "extensions.Folder", "init_args": data},
        trainer={"accelerator": "cpu"} | ({"max_epochs": 1} if "max_epochs" in config["trainer"] else {}),
    )
    record = run_experiment(one, tmp_path, options=RunOptions(progress=False, keep_checkpoint=False))
    assert record.status == "finished", record.error
    lines = (tmp_path / record.folder / SCORES).read_text(encoding="utf-8").splitlines()
    column = lines[0].split(",").index("score")
    scores = [float(line.split(",")[column]) for line in lines[1:]]
    assert len(scores) == 8
    assert all(map(math.isfinite, scores))
    assert len(set(scores)) > 1, "every image has the same score"
    assert (record.metrics["pixel_AUROC"] is None) == (name in WITHOUT_MAP)
    assert record.dataset.image_size == [SIDES.get(name, SIDE)] * 2
    if backbone := one.backbone:
        assert record.weights.source == f"weights folder, {backbone}.safetensors"
