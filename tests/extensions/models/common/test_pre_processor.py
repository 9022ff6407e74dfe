"""A pre-processor by image size, for models of anomalib's."""

from __future__ import annotations

import anomalib.models
import pytest
import torch
from anomalib.pre_processing import PreProcessor

import extensions
from extensions.models.common.pre_processor import default_pre_processor


def test_it_resizes_and_normalizes_as_our_models_do():
    images = torch.rand(2, 3, 50, 70)
    for backbone, mean in (("tf_efficientnet_lite0", 0.5), ("resnet18", 0.485)):
        processor = extensions.ImagePreProcessor((32, 48), backbone=backbone)
        expected = default_pre_processor(backbone, image_size=(32, 48))
        torch.testing.assert_close(processor.transform(images), expected.transform(images))
        assert processor.transform(images).shape == (2, 3, 32, 48)
        assert next(iter(processor.transform.transforms[-1].mean)) == mean


def test_without_a_backbone_pixels_stay_in_0_to_1():
    seen = extensions.ImagePreProcessor(40, center_crop=32).transform(torch.rand(1, 3, 64, 64))
    assert seen.shape == (1, 3, 32, 32)
    assert 0 <= float(seen.min()) < float(seen.max()) <= 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"image_size": 0}, "image_size is 0"),
        ({"image_size": 32, "center_crop": 64}, "larger than image_size"),
        ({"image_size": 32, "backbone": "resnet19"}, "nearest: resnet18"),
    ],
)
def test_what_cannot_be_is_told(arguments, said):
    with pytest.raises(ValueError, match=said):
        extensions.ImagePreProcessor(**arguments)


def test_a_stock_model_keeps_it_in_its_checkpoint():
    model = anomalib.models.Dfm(
        "resnet18",
        layer="layer2",
        pre_trained=False,
        pre_processor=extensions.ImagePreProcessor(32, backbone="tf_efficientnet_lite0"),
    )
    stored = model.pre_processor.checkpoint_config()
    again = PreProcessor()
    again.load_checkpoint_config(stored)
    images = torch.rand(1, 3, 50, 70)
    torch.testing.assert_close(again.transform(images), model.pre_processor.transform(images))
