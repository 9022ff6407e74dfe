import numpy as np
import openvino
import pytest
import torch

from benchmark.metrics.image import best_threshold
from extensions.data.reading.image_files import read_image
from extensions.runtime.openvino_core import openvino_core
from inference.__main__ import main
from inference.export.network import ExportedNetwork
from inference.export.quantization import evenly_spaced
from inference.export.quantized_features import _replace, take_own_features
from inference.export.write_model import ExportOptions, export_model
from inference.export.write_model import saved as write_model_saved
from inference.measure.labelled_images import LabelledImages
from inference.model.checkpoints import load_checkpoint
from inference.model.predictors import load_predictor


@pytest.fixture(scope="module")
def quantized(checkpoint, normal, tmp_path_factory):
    output = tmp_path_factory.mktemp("int8") / "padim"
    model, info = load_checkpoint(checkpoint)
    options = ExportOptions(precision="int8", allow_difference=True, labelled=normal[0].parents[2] / "test")
    return export_model(model, info, output, files=normal, options=options), output


def test_int8_quantizes_convolutions_and_nothing_in_front_of_the_network(quantized):

    network = openvino_core().read_model(quantized[1] / "model.xml")
    kinds = {"Convolution": 0, "MatMul": 0}
    for operation in network.get_ordered_ops():
        if operation.get_type_name() in kinds and operation.input_value(0).get_node().get_type_name() == "FakeQuantize":
            kinds[operation.get_type_name()] += 1
    assert kinds["Convolution"] > 0
    assert kinds["MatMul"] == 0


def test_int8_scores_of_normal_images_are_near_those_of_fp32_and_the_auroc_of_both_is_told(quantized, exported, normal):
    agreement, output = quantized
    assert set(agreement.summary.costs.labelled_auroc) == {"fp32", "int8"}
    predictor = load_predictor(output / "model.xml")
    assert predictor.info.precision == "int8"
    small, full = (
        np.array(
            [one.pred_score for one in load_predictor(folder / "model.xml").predict(list(map(read_image, normal)))]
        )
        for folder in (output, exported)
    )
    assert not np.array_equal(small, full)
    assert np.abs(small / full - 1).max() < 0.2


def test_int8_has_a_threshold_of_its_own_and_tells_both(quantized, exported, tiny_root):
    agreement, output = quantized
    info, trained = (load_predictor(folder / "model.xml").info for folder in (output, exported))
    labelled = LabelledImages.from_folder(tiny_root / "test")
    small = load_predictor(output / "model.xml")
    scores = [small.predict([read_image(file)])[0].pred_score for file in labelled.files]
    assert info.score_range == pytest.approx((min(scores), max(scores)), rel=1e-5)
    assert info.threshold == pytest.approx(best_threshold(labelled.is_anomalous, scores), rel=1e-3)
    assert info.trained_threshold == trained.threshold
    assert info.refitted.on == "the labelled images in test: 4 normal, 4 anomalous"
    told = agreement.summary.costs.quantized
    assert told.threshold == {"fp32": trained.threshold, "int8": info.threshold}
    assert told.judged_on_fitted
    assert set(agreement.summary.costs.images_per_second) == {"fp32", "int8"}
    assert agreement.summary.own_threshold
    assert agreement.summary.threshold == trained.threshold


def test_without_the_images_int8_keeps_the_trained_threshold_and_says_so(checkpoint, normal, tmp_path, capsys):
    given = ["--checkpoint", str(checkpoint), "--calibration", str(normal[0].parent), "--precision", "int8"]
    assert main(["export", *given, "--allow-difference", "--output", str(tmp_path / "model")]) == 0
    assert "was not fitted anew" in capsys.readouterr().out
    info = load_predictor(tmp_path / "model/model.xml").info
    assert info.refitted is None
    assert info.threshold == load_checkpoint(checkpoint)[1].threshold


def test_fp16_halves_the_file_and_agrees(checkpoint, normal, exported, tmp_path, monkeypatch):
    precisions = []

    def saved(network, info, path):
        precisions.append(info.precision)
        return write_model_saved(network, info, path)

    monkeypatch.setattr("inference.export.write_model.saved", saved)
    model, info = load_checkpoint(checkpoint)
    options = ExportOptions(precision="fp16", allow_difference=True, labelled=normal[0].parents[2] / "test")
    agreement = export_model(model, info, tmp_path / "fp16", files=normal, options=options)
    assert set(agreement.summary.costs.labelled_auroc) == set(precisions) == {"fp32", "fp16"}
    sizes = [(folder / "model.bin").stat().st_size for folder in (tmp_path / "fp16", exported)]
    assert sizes[0] < 0.6 * sizes[1]
    assert agreement.summary.largest_score_difference < 0.01


def test_images_are_spread_over_all_that_are_given():
    assert evenly_spaced(list(range(10)), 4) == [0, 3, 6, 9]
    assert evenly_spaced([1, 2], 5) == [1, 2]


def test_a_quantized_patchcore_has_the_bank_that_its_own_backbone_gives(fit, normal, tmp_path):
    model, info = load_checkpoint(fit("Patchcore", layers=["layer2"], coreset_sampling_ratio=1.0))
    options = ExportOptions(precision="int8", allow_difference=True, measures_speed=False)
    export_model(model, info, tmp_path / "int8", files=normal, options=options)
    assert len(model.model.memory_bank) == len(normal) * 6 * 6  # so every patch of these images is in the bank
    scale = model.model.memory_bank.std(dim=0).norm().item()
    maps = load_predictor(tmp_path / "int8/model.xml").predict(list(map(read_image, normal)))
    assert max(float(np.max(one.anomaly_map)) for one in maps) < 0.02 * scale


def test_a_quantized_padim_has_the_gaussians_of_its_own_backbone(fit, normal, tmp_path):
    model, info = load_checkpoint(fit("Padim", n_features=4, layers=["layer2", "layer3"]))
    assert len(normal) > 4
    options = ExportOptions(precision="int8", allow_difference=True, measures_speed=False)
    export_model(model, info, tmp_path / "int8", files=normal, options=options)
    trained = ExportedNetwork(model.cpu().eval(), (48, 48)).network
    network = openvino_core().read_model(tmp_path / "int8/model.xml")
    held = [one for one in network.get_ordered_ops() if one.get_type_name() == "Constant"]
    means = [one.get_data() for one in held if tuple(one.get_output_shape(0)) == tuple(trained.mean.shape)]
    assert len(means) == 1
    difference = next(one for one in network.get_ordered_ops() if _takes(one, means[0].shape))
    part = openvino.Model([openvino.opset13.result(difference.output(0))], network.get_parameters())
    run = openvino_core().compile_model(part, "CPU")
    centered = [next(iter(run(read_image(file)[None]).values())) for file in normal]  # (P, 1, C) each
    assert np.abs(np.mean(centered, axis=0)).max() < 1e-4  # features less their mean


def _takes(operation, shape) -> bool:
    given = [value.get_node() for value in operation.input_values()]
    return len(given) == 2 and given[1].get_type_name() == "Constant" and tuple(given[1].get_output_shape(0)) == shape


def test_a_bank_that_is_not_in_the_network_is_told(checkpoint, fit, exported, normal):
    model, _ = load_checkpoint(fit("Patchcore", layers=["layer2"], coreset_sampling_ratio=1.0))
    other = openvino_core().read_model(exported / "model.xml")
    with pytest.raises(RuntimeError, match="is not in the exported network as it was written"):
        take_own_features(other, other, ExportedNetwork(model.cpu().eval(), (48, 48)), [read_image(normal[0])[None]])


def test_a_square_tensor_is_replaced_as_it_is_held(tmp_path):
    square, other = torch.arange(9.0).reshape(3, 3), torch.arange(9.0, 18.0).reshape(3, 3)
    given = openvino.opset13.parameter([2, 3], np.float32)
    product = openvino.opset13.matmul(
        given, openvino.opset13.constant(np.ascontiguousarray(square.numpy().T)), transpose_a=False, transpose_b=True
    )
    network = openvino.Model([product], [given])
    _replace(network, square, other)
    x = np.eye(3, dtype=np.float32)[:2]
    found = next(iter(openvino_core().compile_model(network, "CPU")(x).values()))
    np.testing.assert_array_equal(found, x @ other.numpy())


def test_too_few_images_for_a_covariance_leave_padim_its_gaussians(checkpoint, exported, normal):
    model, _ = load_checkpoint(checkpoint)
    written = ExportedNetwork(model.cpu().eval(), (48, 48))
    network = openvino_core().read_model(exported / "model.xml")
    before = _constants(network)
    take_own_features(network, network, written, [read_image(normal[0])[None]])
    after = _constants(network)
    assert list(before) == list(after)
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)


def _constants(network) -> dict[str, np.ndarray]:
    held = [one for one in network.get_ordered_ops() if one.get_type_name() == "Constant"]
    return {one.get_friendly_name(): np.array(one.get_data()) for one in held}
