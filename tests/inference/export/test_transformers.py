"""Vision transformers in exported models: the same scores, also with a foreground, and linear layers in 8 bits."""

import openvino
import pytest

from inference.export.quantization import behind_blocks
from inference.export.write_model import ExportOptions, export_model
from inference.model.checkpoints import load_checkpoint

SMALL = {"coreset_sampling_ratio": 0.2, "num_neighbors": 3}
FOREGROUND = {"foreground": "pca", "foreground_threshold": 0.5, "unit_patches": True}
SWIN = {"backbone": "swin_tiny_patch4_window7_224", "layers": ["layers.1", "layers.2"], "image_size": 64}


def exported(fit, name, arguments, normal, output, precision="fp32"):
    model, info = load_checkpoint(fit(name, **{"backbone": "test_vit", **arguments}))
    options = ExportOptions(precision=precision, allow_difference=precision == "int8", measures_speed=False)
    return export_model(model, info, output, files=normal, options=options)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Patchcore", {**SMALL, **FOREGROUND, "image_size": (80, 50)}),  # of which 48 fit
        ("Padim", {"n_features": 10, "image_size": 64}),
    ],
)
def test_the_exported_network_scores_as_the_trained_one(name, arguments, fit, normal, tmp_path):
    agreement = exported(fit, name, arguments, normal, tmp_path / "out")
    assert agreement.agrees
    assert agreement.summary.largest_score_difference <= 1e-3
    assert agreement.summary.largest_map_difference <= 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Patchcore", {**SMALL, **SWIN}),
        ("Patchcore", {**SMALL, "backbone": "vit_tiny_patch16_dinov3_qkvb"}),
        ("Patchcore", {**SMALL, "backbone": "vit_small_patch14_reg4_dinov2", "image_size": 56}),
        ("Padim", {"n_features": 10, "backbone": "eva02_tiny_patch14_224", "image_size": 56}),
        ("Stfpm", {"layers": ["blocks.1", "blocks.3"]}),
        ("Cflow", {"coupling_blocks": 2, "condition_vector": 16}),
        ("Fastflow", {"flow_steps": 2, "hidden_ratio": 0.25}),
        ("ReverseDistillation", {**SWIN, "layers": ["layers.0", "layers.1", "layers.2"]}),
    ],
)
def test_other_transformers_and_models_too(name, arguments, fit, normal, tmp_path):
    test_the_exported_network_scores_as_the_trained_one(name, arguments, fit, normal, tmp_path)


def test_int8_has_the_linear_layers_of_all_blocks_in_8_bits_and_no_distance(fit, normal, tmp_path):
    exported(fit, "Patchcore", {**SMALL, "image_size": 48}, normal, tmp_path / "out", "int8")
    network = openvino.Core().read_model(tmp_path / "out/model.xml")
    products = [one for one in network.get_ordered_ops() if one.get_type_name() == "MatMul"]
    kinds = [one.input_value(0).get_node().get_type_name() for one in products]
    assert kinds.count("FakeQuantize") == 4 * 4  # qkv, projection and two of the MLP, of blocks 0 to 3
    behind = behind_blocks(network)
    assert {one.get_friendly_name() for one, kind in zip(products, kinds, strict=True) if kind != "FakeQuantize"} & set(
        behind
    )
