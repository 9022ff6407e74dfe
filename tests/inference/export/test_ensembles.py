"""An ensemble on the line: one network, each size resized once, a shared backbone computed once."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from anomalib.engine import Engine
from lightning import seed_everything

import extensions
from extensions.models.ensemble.exported import shared_backbones
from extensions.runtime.openvino_core import openvino_core
from inference.__main__ import main
from inference.export.network import ExportedNetwork
from inference.export.write_model import ExportOptions, export_model
from inference.model.checkpoints import load_checkpoint
from inference.model.predictors import load_predictor
from inference.model.preprocessing import inputs_of, preprocessing_of


def entry(name: str, backbone: str = "test_resnet", size: int = 48, **init_args) -> dict:
    shared = {"backbone": backbone, "pre_trained": False, "image_size": size}
    return {"class_path": f"extensions.{name}", "init_args": shared | init_args}


# Two on one backbone with other layers, and one that sees another size and normalizes otherwise.
MEMBERS = [
    entry("Patchcore", coreset_sampling_ratio=0.2, num_neighbors=2),
    entry("Padim", layers=["layer1", "layer2"], n_features=40),
    entry("Padim", "tf_efficientnet_lite0", 64, n_features=40),
]


@pytest.fixture(scope="module")
def trained(tiny_folder, tmp_path_factory) -> Path:
    """The checkpoint of an ensemble."""
    seed_everything(0)
    model = extensions.Ensemble(MEMBERS, evaluator=False, visualizer=False)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    engine = Engine(default_root_dir=tmp_path_factory.mktemp("ensemble"), **quiet)
    engine.fit(model, datamodule=tiny_folder())
    return Path(engine.best_model_path)


@pytest.fixture(scope="module")
def written(trained, normal, tmp_path_factory):
    """The folder of its export, and how well that agrees."""
    output = tmp_path_factory.mktemp("exported") / "ensemble"
    model, info = load_checkpoint(trained)
    return output, export_model(model, info, output, files=normal, options=ExportOptions())


def test_one_network_agrees_with_the_trained_ensemble(written, trained, images):
    output, agreement = written
    assert agreement.agrees
    assert agreement.summary.largest_score_difference < 1e-4
    model, _ = load_checkpoint(trained)
    found = load_predictor(output / "model.xml").predict(images)
    with torch.no_grad():
        for image, one in zip(images, found, strict=True):
            unit = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
            expected = model.model(model.pre_processor.transform(unit))
            assert one.pred_score == pytest.approx(float(expected.pred_score), rel=1e-3)
            assert one.anomaly_map.shape == (64, 64)
            np.testing.assert_allclose(one.anomaly_map, expected.anomaly_map[0, 0], rtol=1e-2, atol=1e-2)


def test_sizes_are_made_once_and_a_shared_backbone_is_computed_once(written, trained):
    model, _ = load_checkpoint(trained)
    inputs, places = inputs_of(model)
    assert places == [0, 0, 1]
    assert [one.image_size for one in inputs] == [(48, 48), (64, 64)]
    assert preprocessing_of(model).image_size == (64, 64)

    graph = onnx.load(written[0] / "model.onnx").graph
    assert [one.name for one in graph.input] == ["images"]
    kinds = Counter(node.op_type for node in graph.node)
    assert kinds["Range"] == 2 * 2, "rows and columns of two sizes"
    shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    first = [shapes[node.input[1]] for node in graph.node if node.op_type == "Conv" and shapes[node.input[1]][1] == 3]
    assert sorted(first) == [(16, 3, 3, 3), (32, 3, 3, 3)], "one of each backbone"


def test_only_equal_backbones_on_one_input_are_shared(trained):
    model, _ = load_checkpoint(trained)
    networks = [member.model for member in model.members]
    assert shared_backbones(networks, [0, 0, 1]) == [[0, 1]]
    assert shared_backbones(networks, [0, 0, 0]) == [[0, 1]]
    assert shared_backbones(networks, [0, 1, 2]) == []
    assert shared_backbones([networks[0], None, networks[2]], [0, 0, 0]) == []
    with torch.no_grad():
        next(networks[1].feature_extractor.parameters()).add_(1)
    assert shared_backbones(networks, [0, 0, 1]) == []


def test_the_trained_model_is_left_as_it_was(trained, images):
    model, _ = load_checkpoint(trained)
    unit = torch.from_numpy(images[0]).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        before = model.model(model.pre_processor.transform(unit))
        network = ExportedNetwork(model, (64, 64))
        after = model.model(model.pre_processor.transform(unit))
        sizes = [one.image_size for one in inputs_of(model)[0]]
        score, anomaly_map = network(*(torch.rand(2, 3, *size) for size in sizes))
    assert torch.equal(before.anomaly_map, after.anomaly_map)
    assert score.shape == (2,)
    assert anomaly_map.shape == (2, 1, 64, 64)


def test_int8_quantizes_the_convolutions_of_all_members(trained, normal, tmp_path):
    given = ["--checkpoint", str(trained), "--calibration", str(normal[0].parent), "--precision", "int8"]
    assert main(["export", *given, "--allow-difference", "--output", str(tmp_path / "model")]) == 0
    network = openvino_core().read_model(tmp_path / "model/model.xml")
    kinds = [op for op in network.get_ordered_ops() if op.get_type_name() in ("Convolution", "GroupConvolution")]
    quantized = [one for one in kinds if one.input_value(0).get_node().get_type_name() == "FakeQuantize"]
    assert len(quantized) > 30
    in_front = [
        op for op in network.get_ordered_ops()
        if op.get_friendly_name().startswith("resize/") and op.get_type_name() not in ("FakeQuantize", "Constant")
    ]  # fmt: skip
    assert in_front
    before = [given.get_node().get_type_name() for op in in_front for given in op.input_values()]
    assert "FakeQuantize" not in before
    found = load_predictor(tmp_path / "model/model.xml").predict([np.zeros((40, 70, 3), np.uint8)])
    assert np.isfinite(found[0].pred_score)
