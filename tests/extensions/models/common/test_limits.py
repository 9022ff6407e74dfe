"""What a model cannot take is told before it is trained."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import CenterCrop, Compose, Normalize, Resize

import extensions
from extensions.models.common.limits import (
    check_has_network,
    check_image_size,
    check_n_train,
    seen_size,
    smallest_image,
)

SETTINGS = {"backbone": "resnet18", "pre_trained": False, "evaluator": False, "visualizer": False}


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("Patchcore", "num_neighbors"), ("Patchcore", "neighborhood"), ("Patchcore", "max_memory_bytes"),
        ("Padim", "n_features"), ("Cflow", "coupling_blocks"), ("Cflow", "condition_vector"),
        ("Fastflow", "flow_steps"), ("ContrastiveStfpm", "queue_size"), ("ConvAutoencoder", "latent_dim"),
    ],
)  # fmt: skip
def test_a_count_that_is_no_whole_number_is_refused(name, argument):
    with pytest.raises(ValueError, match=rf"{argument} is 8\.0; expected a whole number"):
        getattr(extensions, name)(**{argument: 8.0})


@pytest.mark.parametrize("name", ["Padim", "Patchcore"])
def test_a_model_that_was_not_fitted_says_so(name):
    model = getattr(extensions, name)(pre_trained=False).eval()
    with pytest.raises(RuntimeError, match=f"this {name} has not been fitted"):
        model.model(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("name", ["Padim", "Patchcore"])
def test_images_too_small_to_be_blurred_are_refused_at_construction(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} would see images of 16 x 16 px .* expected 17 px or more"):
        getattr(extensions, name)(image_size=16, **SETTINGS)
    with pytest.raises(ValueError, match="images of 16 x 64 px"):
        getattr(extensions, name)(image_size=64, center_crop=(16, 64), **SETTINGS)


def test_the_least_size_is_one_that_works() -> None:
    model = extensions.Padim(image_size=17, n_features=4, **SETTINGS)
    assert smallest_image(model.model) == 17
    assert model.model.anomaly_map_generator.smooth_anomaly_map(torch.rand(1, 1, 17, 17)).shape[-1] == 17
    with pytest.raises(RuntimeError):
        model.model.anomaly_map_generator.smooth_anomaly_map(torch.rand(1, 1, 16, 16))


def test_a_stock_model_is_held_to_it_too() -> None:
    from anomalib.models import Padim as StockPadim
    from anomalib.pre_processing import PreProcessor

    pre_processor = PreProcessor(Compose([Resize((12, 40)), Normalize([0.0] * 3, [1.0] * 3)]))
    model = StockPadim(backbone="resnet18", pre_trained=False, pre_processor=pre_processor, evaluator=False)
    with pytest.raises(ValueError, match="images of 12 x 40 px"):
        check_image_size(model)


def test_too_few_images_for_their_components_are_counted() -> None:
    from anomalib.models import Dfkde

    model = Dfkde(backbone="resnet18", pre_trained=False, n_pca_components=8, evaluator=False)
    with pytest.raises(ValueError, match=r"takes 8 principal components .* found 7 images"):
        check_n_train(model, 7)
    check_n_train(model, 8)


def test_the_last_resize_or_crop_counts() -> None:
    assert seen_size(Compose([Resize((40, 50)), CenterCrop(20)])) == (20, 20)
    assert seen_size(Resize((40, 50))) == (40, 50)
    assert seen_size(Resize(40)) is None, "the shorter side alone"
    assert seen_size(None) is None


def test_a_model_without_a_network_is_refused_and_has_no_smallest_image():
    class Asks:
        pre_processor = None

    check_image_size(Asks())
    with pytest.raises(ValueError, match="Asks has no network of its own"):
        check_has_network(Asks())
