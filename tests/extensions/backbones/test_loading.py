"""Loading files into anomalib's extractor: what fits, what is refused."""

import fractions

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from extensions.backbones import WeightsError, load_backbone_weights

LAYERS = ["layer1", "layer3"]


def features(extractor, image):
    with torch.no_grad():
        return list(extractor(image).values())


def prefixed(state, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def without(state, *prefixes):
    return {name: tensor for name, tensor in state.items() if not name.startswith(prefixes)}


FORMS = {
    "plain": lambda s: s,
    "DataParallel": lambda s: prefixed(s, "module."),
    "nested": lambda s: {"state_dict": s, "epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
    "nested DataParallel": lambda s: {"model": prefixed(s, "module."), "best": 0.5},
    "Lightning": lambda s: {"state_dict": prefixed(s, "backbone.net.") | {"projector.0.weight": torch.ones(3, 3)}},
    "no classifier": lambda s: without(s, "fc."),
    "no deeper layer": lambda s: without(s, "fc.", "layer4."),
    "other classes": lambda s: without(s, "fc.") | {"fc.weight": torch.ones(7, 512), "fc.bias": torch.ones(7)},
    "before torch 1.0": lambda s: {name: tensor for name, tensor in s.items() if "num_batches" not in name},
    "half precision": lambda s: {name: tensor.half() for name, tensor in s.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_file_of_every_form_gives_the_source_networks_features(form, resnet18, extractor, image, tmp_path):
    path = tmp_path / "w.pth"
    torch.save(FORMS[form](resnet18.state_dict()), path)
    target = extractor("resnet18", LAYERS)
    found = load_backbone_weights(target, "resnet18", path)
    with torch.no_grad():
        expected = resnet18.forward_intermediates(image, indices=[1, 3], intermediates_only=True)
    tolerance = 2e-2 if form == "half precision" else 0
    assert found.path == path
    for ours, theirs in zip(features(target, image), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_own_file_works_by_one_manifest_row(resnet18, extractor, image, manifest, folder):
    save_file(resnet18.state_dict(), folder / "mine.safetensors")
    manifest("- {name: resnet18.mine, file: mine.safetensors}")
    target = extractor("resnet18.mine", LAYERS)
    assert load_backbone_weights(target, "resnet18.mine").source == "weights folder, mine.safetensors"
    with torch.no_grad():
        expected = resnet18.forward_intermediates(image, indices=[1, 3], intermediates_only=True)
    assert torch.equal(features(target, image)[1], expected[1])


def test_torchvision_file_and_extractors_own_state_load(extractor, image, tmp_path):
    source = torchvision.models.resnet18().eval()
    torch.save(source.state_dict(), tmp_path / "tv.pth")
    first, second = extractor("resnet18", LAYERS), extractor("resnet18", LAYERS)
    load_backbone_weights(first, "resnet18", tmp_path / "tv.pth")
    with torch.no_grad():
        stem = source.maxpool(source.relu(source.bn1(source.conv1(image))))
        assert torch.equal(features(first, image)[0], source.layer1(stem))
    torch.save(first.state_dict(), tmp_path / "extractor.pth")
    load_backbone_weights(second, "resnet18", tmp_path / "extractor.pth")
    assert torch.equal(features(first, image)[1], features(second, image)[1])


@pytest.mark.parametrize(
    ("backbone", "layers", "deeper"),
    [
        ("cspdarknet53", ["stages.1", "stages.2"], ("stages.3.", "stages.4.", "head.")),
        ("wide_resnet50_2", ["layer1"], ("layer2.", "layer3.", "layer4.", "fc.")),
        ("tf_efficientnet_b7", ["blocks.0", "blocks.1"], tuple(f"blocks.{i}." for i in range(2, 7))),
        ("vit_tiny_patch16_224", ["blocks.1", "blocks.3"], (*(f"blocks.{i}." for i in range(4, 12)), "head.")),
    ],
)
def test_only_the_used_part_of_a_network_must_be_in_the_file(backbone, layers, deeper, extractor, tmp_path):
    source, target = extractor(backbone, layers), extractor(backbone, layers)
    with torch.device("meta"):
        names = list(timm.create_model(backbone).state_dict())
    state = source.feature_extractor.state_dict()
    # under the names of the complete network, where stages are not flattened
    complete = {
        name: state[name if name in state else name.replace(".", "_", 1)]
        for name in without(dict.fromkeys(names), *deeper, "conv_head", "bn2", "classifier")
    }
    path = tmp_path / "part.safetensors"
    save_file(prefixed(complete, "module."), path)
    load_backbone_weights(target, backbone, path)
    image = torch.rand(1, 3, 32, 32)
    for ours, theirs in zip(features(target, image), features(source, image), strict=True):
        assert torch.equal(ours, theirs)
    lacking = {name: tensor for name, tensor in complete.items() if not name.startswith(layers[0])}
    save_file(lacking, path)
    with pytest.raises(WeightsError, match=r"missing \d+ tensors"):
        load_backbone_weights(target, backbone, path)


def test_requested_layer_that_the_file_lacks_is_named(resnet18, extractor, tmp_path):
    torch.save(without(resnet18.state_dict(), "layer4.", "fc."), tmp_path / "w.pth")
    target = extractor("resnet18", ["layer2", "layer4"])
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(WeightsError, match=r"layers layer2, layer4: missing 25 tensors: layer4\.0\.bn1\.bias"):
        load_backbone_weights(target, "resnet18", tmp_path / "w.pth")
    assert all(torch.equal(before[name], tensor) for name, tensor in target.state_dict().items())


def test_partial_file_of_the_manifest_says_which_layers_it_covers(resnet18, extractor, manifest, folder):
    torch.save(without(resnet18.state_dict(), "layer3.", "layer4.", "fc."), folder / "part.pth")
    manifest("- {name: resnet18.part, file: part.pth, layers: [layer1, layer2]}")
    load_backbone_weights(extractor("resnet18.part", ["layer2"]), "resnet18.part")
    with pytest.raises(WeightsError, match="covers only layer1, layer2"):
        load_backbone_weights(extractor("resnet18.part", ["layer3"]), "resnet18.part")


def test_deeper_network_of_the_same_widths_is_refused(extractor, tmp_path):
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "r34.pth")
    with pytest.raises(WeightsError, match=r"unexpected .*layer1\.2\.bn1"):
        load_backbone_weights(extractor("resnet18", LAYERS), "resnet18", tmp_path / "r34.pth")


def test_wrong_shape_is_named_with_found_and_expected(resnet18, extractor, tmp_path):
    state = dict(resnet18.state_dict(), **{"conv1.weight": torch.zeros(64, 1, 7, 7)})
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"conv1\.weight \(found \(64, 1, 7, 7\), expected \(64, 3, 7, 7\)\)"):
        load_backbone_weights(extractor("resnet18", LAYERS), "resnet18", tmp_path / "w.pth")


def test_two_networks_in_one_file_are_not_guessed_between(resnet18, extractor, tmp_path):
    state = resnet18.state_dict()
    torch.save(prefixed(state, "teacher.") | prefixed(state, "student."), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"2 networks, under 'student\.', 'teacher\.'"):
        load_backbone_weights(extractor("resnet18", LAYERS), "resnet18", tmp_path / "w.pth")


def test_file_of_another_architecture_is_refused(extractor, tmp_path):
    torch.save({"blocks.0.attn.weight": torch.ones(3)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no name fits"):
        load_backbone_weights(extractor("resnet18", LAYERS), "resnet18", tmp_path / "w.pth")


def test_file_with_objects_is_refused_with_their_type_and_the_conversion(extractor, tmp_path):
    torch.save({"state_dict": {"a": torch.ones(1)}, "ratio": fractions.Fraction(1, 2)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"objects of type fractions\.Fraction.*weights_only=False") as caught:
        load_backbone_weights(extractor("resnet18", LAYERS), "resnet18", tmp_path / "w.pth")
    assert str(tmp_path / "w.pth") in str(caught.value)


def test_conversion_given_in_the_message_works(resnet18, extractor, tmp_path):
    path, converted = tmp_path / "w.pth", tmp_path / "converted.pth"
    torch.save(resnet18, path)
    with pytest.raises(WeightsError) as caught:
        load_backbone_weights(extractor("resnet18", LAYERS), "resnet18", path)
    code = str(caught.value).split("where it was made: ")[1]
    exec(code.replace("'converted.pth'", repr(str(converted))), {"torch": torch, "PATH": path})
    load_backbone_weights(extractor("resnet18", LAYERS), "resnet18", converted)


@pytest.mark.parametrize(
    ("name", "content"),
    [("w.pth", b""), ("w.pth", b"not weights"), ("w.safetensors", b"not weights at all"), ("w.pth", b"PK\x03\x04cut")],
)
def test_damaged_file_is_named(name, content, extractor, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read as") as caught:
        load_backbone_weights(extractor("resnet18", LAYERS), "resnet18", tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_without_tensors_is_refused(extractor, tmp_path):
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"found a dictionary with \['epoch'\], expected named tensors"):
        load_backbone_weights(extractor("resnet18", LAYERS), "resnet18", tmp_path / "w.pth")
