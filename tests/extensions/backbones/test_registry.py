"""Names: what timm builds, what is refused and with which help."""

import subprocess
import sys
import warnings

import pytest
import timm

from extensions import backbones
from extensions.backbones import architecture, check_backbone, names, normalization, register


def test_import_is_light():
    code = "import sys, extensions.backbones; print([m for m in ('torch', 'timm', 'anomalib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("backbone", [*names(), "mobilenetv3_small_050", "resnet18.a1_in1k"])
def test_offered_and_other_timm_names_are_known(backbone):
    assert check_backbone(backbone) == backbone
    assert architecture(backbone) == backbone


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ("resnet81", "resnet18"),
        ("wide_resnet50", "wide_resnet50_2"),
        ("resnet18.tv_in1", "tv_in1k"),
        ("resnet50_caffe.msr", "msra"),
        ("local-dir:/some/folder", "`weights`"),
    ],
)
def test_unknown_name_is_refused_with_the_right_ones(backbone, said):
    with pytest.raises(ValueError, match=said):
        check_backbone(backbone)


def test_manifest_tag_becomes_a_timm_name(manifest):
    manifest("- {name: resnet18.parts7, file: a.pth, normalization: {mean: [0.1, 0.2, 0.3], std: [1, 1, 2]}}")
    register()
    assert timm.create_model("resnet18.parts7", features_only=True).feature_info.channels()[-1] == 512
    assert check_backbone("resnet18.parts7") == "resnet18.parts7"
    assert normalization("resnet18.parts7") == ((0.1, 0.2, 0.3), (1.0, 1.0, 2.0))


def test_stock_timm_refuses_a_manifest_tag_instead_of_giving_random_features(manifest):
    manifest("- {name: resnet18.parts8, file: a.pth}")
    register()
    with pytest.raises(RuntimeError, match="No pretrained weights"):
        timm.create_model("resnet18.parts8", pretrained=True)


def test_registering_twice_changes_and_warns_nothing():
    register()
    before = timm.list_models("*", include_tags=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register()
    assert timm.list_models("*", include_tags=True) == before


def test_row_of_an_unknown_architecture_is_refused(manifest, folder):
    manifest("- {name: resnet81.mine, file: a.pth}")
    with pytest.raises(backbones.ManifestError, match=r"resnet81.*resnet18") as caught:
        register()
    assert str(folder) in str(caught.value)


def test_unregistered_tag_still_builds_by_its_architecture():
    assert architecture("resnet18.from_another_machine") == "resnet18"
    assert normalization("resnet18.from_another_machine") == normalization("resnet18")
    with pytest.raises(ValueError, match="resnet18"):
        architecture("resnet81.from_another_machine")


def test_normalization_is_that_of_the_weights():
    assert normalization("tf_efficientnet_lite0") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for backbone in ("resnet18", "wide_resnet50_2", "cspdarknet53", "tf_efficientnet_b7", "resnet50_caffe.msra"):
        assert normalization(backbone) == imagenet
