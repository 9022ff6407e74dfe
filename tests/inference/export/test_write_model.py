import json

import numpy as np
import onnx
import pytest
import torch
from torchvision.transforms.v2.functional import resize

from extensions.runtime.openvino_core import openvino_core
from inference.__main__ import main
from inference.export.input_resizing import prepend_preprocessing
from inference.export.write_model import FILES, ExportOptions, export_model
from inference.measure.agreement import DisagreementError
from inference.model.checkpoints import load_checkpoint
from inference.model.preprocessing import Preprocessing, preprocessing_of


def resizing_network(preprocessing: Preprocessing):
    """The front alone, compiled."""

    height, width = preprocessing.image_size
    shape = ["n", 3, height, width]
    given, left = (onnx.helper.make_tensor_value_info(name, 1, shape) for name in ("prepared", "out"))
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["prepared"], ["out"])], "plain", [given], [left])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    prepend_preprocessing(model, preprocessing)
    onnx.checker.check_model(model)
    core = openvino_core()
    return core.compile_model(core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (32, 41), (41, 32), (64, 64), (200, 3), (317, 500)])
def test_resizing_in_the_graph_is_torchvisions(size, antialias):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    compiled = resizing_network(Preprocessing(resize=(32, 41), antialias=antialias))
    image = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    expected = resize(image, [32, 41], antialias=antialias).numpy()
    assert np.abs(compiled([images])[0] - expected).max() < 1e-4


def test_crop_and_normalization_are_those_of_the_pre_processor():
    import extensions

    model = extensions.Padim("test_resnet", pre_trained=False, image_size=(40, 56), center_crop=(31, 32), n_features=4)
    images = np.random.default_rng(0).integers(0, 256, (1, 50, 50, 3), dtype=np.uint8)
    expected = model.pre_processor.transform(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255).numpy()
    preprocessing = preprocessing_of(model)
    assert preprocessing.image_size == (31, 32)
    assert np.abs(resizing_network(preprocessing)([images])[0] - expected).max() < 1e-4


def test_pre_processing_that_no_graph_can_hold_is_refused():
    import extensions

    model = extensions.Padim("test_resnet", pre_trained=False, n_features=4, pre_processor=False)
    with pytest.raises(ValueError, match="does not resize"):
        preprocessing_of(model)


def test_an_export_says_what_its_numbers_mean_and_how_it_agrees(exported):
    assert {path.name for path in exported.iterdir()} == set(FILES) - {"model.onnx.data", "thresholds.csv"}
    onnx.checker.check_model(exported / "model.onnx")
    info = json.loads((exported / "model.json").read_text())
    assert info["class_path"] == "extensions.Padim"
    assert info["image_size"] == [48, 48]
    assert info["threshold"] is not None
    assert info["versions"]["anomalib"].startswith("2.")
    agreement = json.loads((exported / "agreement.json").read_text())
    assert agreement["agrees"]
    assert agreement["n_images"] == 8
    assert agreement["n_defects"] == 4
    assert agreement["largest_score_difference"] <= 1e-3
    assert agreement["n_flipped"] == 0


def test_a_network_that_differs_is_not_written_unless_allowed(checkpoint, normal, tmp_path, monkeypatch):
    model, info = load_checkpoint(checkpoint)
    wrong = Preprocessing(resize=(48, 48), antialias=False)
    monkeypatch.setattr("inference.model.preprocessing.preprocessing_of", lambda _: wrong)
    with pytest.raises(DisagreementError, match=r"differs from the trained model.*--allow-difference"):
        export_model(model, info, tmp_path / "out", files=normal)
    assert list(tmp_path.iterdir()) == []
    export_model(model, info, tmp_path / "out", files=normal, options=ExportOptions(allow_difference=True))
    assert not json.loads((tmp_path / "out/agreement.json").read_text())["agrees"]


def test_an_output_that_holds_other_files_is_refused(checkpoint, normal, tmp_path):
    model, info = load_checkpoint(checkpoint)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"notes.txt, which is no part of an exported model"):
        export_model(model, info, tmp_path, files=normal)
    with pytest.raises(ValueError, match="this is a file"):
        export_model(model, info, tmp_path / "notes.txt", files=normal)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_export_tells_what_cannot_be_before_the_work(checkpoint, tiny_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("inference.export.network.write_onnx", lambda *_: pytest.fail("worked"))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.png").write_bytes(b"no image")
    given = ["export", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "model"), "--calibration"]
    good = str(tiny_root / "train/good")
    for more, message in [
        ([str(tmp_path / "bad")], "cannot read the image"),
        ([good, "--labelled", good], "found 0 good"),
        ([good, "--labelled", str(tmp_path / "nowhere")], "there is no such folder"),
        ([good, "--output", str(checkpoint)], "this is a file"),
    ]:
        assert main([*given, *more]) == 1
        assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Patchcore", {"coreset_sampling_ratio": 0.05, "num_neighbors": 3}),
        ("Stfpm", {"layers": ["layer1", "layer2"]}),
    ],
)
def test_other_models_agree_too(name, arguments, fit, normal, tmp_path):
    model, info = load_checkpoint(fit(name, **arguments))
    agreement = export_model(model, info, tmp_path / "out", files=normal)
    assert agreement.agrees
    assert agreement.summary.largest_map_difference <= 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Cflow", {"coupling_blocks": 2, "condition_vector": 16}),
        ("ContrastiveStfpm", {"projection_size": 8}),
        ("Cdo", {}),
        ("ReverseDistillation", {}),
        ("Fastflow", {"flow_steps": 2, "hidden_ratio": 0.25}),
        ("RegAd", {}),
        ("ConvAutoencoder", {}),
        ("AutoencoderOcSvm", {}),
    ],
)
def test_slow_models_agree_too(name, arguments, fit, normal, tmp_path):
    test_other_models_agree_too(name, arguments, fit, normal, tmp_path)


def test_a_detector_without_a_map_is_refused(fit, normal, tmp_path):
    model, info = load_checkpoint(fit("BackboneOcSvm"))
    with pytest.raises(RuntimeError, match="BackboneOcSvm scores whole images and has no anomaly map"):
        export_model(model, info, tmp_path / "model", files=normal, options=ExportOptions())
    assert not (tmp_path / "model").exists()


def test_a_checkpoint_of_no_known_class_asks_for_it(checkpoint, tmp_path):
    stored = torch.load(checkpoint, weights_only=False)
    del stored["class_path"]
    torch.save(stored, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match="--model-class"):
        load_checkpoint(tmp_path / "model.ckpt")
    assert load_checkpoint(tmp_path / "model.ckpt", model_class="Padim")[1].model == "Padim"
    with pytest.raises(ValueError, match=r"no checkpoint of extensions.Stfpm"):
        load_checkpoint(tmp_path / "model.ckpt", model_class="extensions.Stfpm")
