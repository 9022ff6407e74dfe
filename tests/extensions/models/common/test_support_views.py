"""The 22 views of RegAD: what they show, and detectors that are fitted to them."""

import pytest
import torch
from lightning import seed_everything

from extensions import Padim, Patchcore
from extensions.models.common.pre_processor import default_pre_processor
from extensions.models.common.support_views import N_VIEWS, SUPPORT_VIEWS, support_views

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL = {
    Padim: {"n_features": 20},
    Patchcore: {"coreset_sampling_ratio": 0.05, "num_neighbors": 3},
}


@pytest.fixture(scope="module")
def views() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Two random images (2, 3, 20, 20), and each view of the second by its name."""
    images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    found = support_views(images)
    assert found.shape == (2 * N_VIEWS, 3, 20, 20)
    return images, dict(zip(SUPPORT_VIEWS, found[N_VIEWS:], strict=True))


def test_right_angles_mirror_and_shifts_are_those_of_the_pixel_grid(views):
    images, named = views
    assert len(named) == N_VIEWS == 22
    image = images[1]
    close = {"atol": 1e-4, "rtol": 0}
    torch.testing.assert_close(named["original"], image)
    torch.testing.assert_close(named["mirrored"], image.flip(-1), **close)
    for degrees, n_turns in (("90", 1), ("180", 2), ("270", 3)):
        torch.testing.assert_close(named[f"turned by {degrees}"], image.rot90(n_turns, (-2, -1)), **close)
    # 0.2 of half of 20 px are 2 px; what comes into view is the mirror image of what lies at the edge.
    padded = torch.nn.functional.pad(image[None], (2, 2, 2, 2), mode="replicate")[0]
    torch.testing.assert_close(named["shifted by 0.2, -0.2"][:, 2:, :-2], image[:, :-2, 2:], **close)
    torch.testing.assert_close(named["shifted by -0.1, 0.1"][:, :, 0], padded[:, 3:-1, 1], **close)


def test_opposite_turns_meet_in_the_middle_of_the_image(views):
    _, named = views
    left, right = named["turned by -45"], named["turned by 45"]
    middle = slice(8, 12)
    torch.testing.assert_close(left.rot90(1, (-2, -1))[:, middle, middle], right[:, middle, middle], atol=1e-4, rtol=0)
    assert (left - right).abs().mean() > 0.1


def test_views_of_normalized_images_are_the_normalized_views(views):
    images, _ = views
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    found = support_views((images - mean) / std, mean=MEAN, std=STD)
    torch.testing.assert_close(found, (support_views(images) - mean) / std, atol=1e-5, rtol=0)
    gray = found[SUPPORT_VIEWS.index("gray")] * std + mean
    torch.testing.assert_close(gray[0], (images[0] * torch.tensor([0.2989, 0.587, 0.114])[:, None, None]).sum(0))


def test_padim_is_fitted_to_the_views_of_every_image(bare, engine, tiny_folder, images):
    model = Padim("resnet18", pre_trained=False, image_size=64, n_features=20, support_views=True, **bare)
    engine().fit(model, datamodule=tiny_folder())
    loader = tiny_folder()
    loader.setup()
    pixels = torch.stack([model.pre_processor.transform(item.image) for item in loader.train_data])
    views = support_views(pixels, mean=MEAN, std=STD)
    with torch.no_grad():
        embedding = model.model.generate_embedding(model.model.feature_extractor(views)).flatten(2)
    assert len(embedding) == 8 * N_VIEWS
    torch.testing.assert_close(model.model.gaussian.mean, embedding.mean(0), atol=1e-4, rtol=1e-4)


def test_patchcores_bank_is_selected_from_the_views(bare, engine, tiny_folder):
    settings = {"image_size": 64, "coreset_sampling_ratio": 0.05, "num_neighbors": 3, **bare}
    sizes = []
    for viewed in (False, True):
        model = Patchcore("resnet18", pre_trained=False, support_views=viewed, **settings)
        engine().fit(model, datamodule=tiny_folder())
        sizes.append(len(model.model.memory_bank))
    assert sizes == [int(8 * 64 * 0.05), int(8 * N_VIEWS * 64 * 0.05)]


@pytest.mark.parametrize("kind", SMALL)
def test_known_features_of_the_images_are_not_taken_for_those_of_their_views(kind, bare, engine, tiny_folder):
    class Knowing:
        """Would give the features of images as they are, and a bank of them."""

        def features(self, images, compute):
            pytest.fail("asked for features")

        promise = bank = features

    found = []
    for source in (None, Knowing()):
        seed_everything(0)
        processor = default_pre_processor("resnet18", image_size=64)
        settings = SMALL[kind] | bare | {"pre_processor": processor}
        model = kind("resnet18", pre_trained=False, support_views=True, **settings)
        model.feature_source = source
        engine(limit_val_batches=0).fit(model, datamodule=tiny_folder())
        assert model.feature_source is source
        found.append(model.model.memory_bank if kind is Patchcore else model.model.gaussian.mean)
    assert torch.equal(*found)
