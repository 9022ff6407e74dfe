"""The named augmentations against torchvision, and views against moving pixels by hand."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import Image, Mask

from extensions import Elpv
from extensions.configuration import ConfigError
from extensions.transforms import NAMES, augmentation
from extensions.transforms.drawing import draw_view
from extensions.transforms.geometry import mirror, turn, warp, warp_back, window
from extensions.transforms.merging import merge_maps, merge_scores


def smooth(height: int = 48, width: int = 64) -> torch.Tensor:
    """(3, height, width) in [0, 1] without sharp edges, so that resampling changes little."""
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 4, width), indexing="ij")
    return torch.stack([torch.sin(x + y), torch.cos(2 * x - y), torch.sin(x * y / 3)]) / 2 + 0.5


@pytest.mark.parametrize("name", NAMES)
def test_augmented_images_keep_size_range_and_type(name):
    image, marks = smooth(), torch.zeros(48, 64, dtype=torch.bool)
    for number in range(8):
        view = draw_view(augmentation(name), image, marks, name="a.png", seed=(number,))
        assert view.image.shape == image.shape
        assert view.image.dtype == torch.float32
        assert view.mask.dtype == torch.bool
        assert view.image.min() >= -1e-6
        assert view.image.max() <= 1 + 1e-6


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_augmentation_but_the_identity_changes_an_image_sooner_or_later(name):
    views = [draw_view(augmentation(name), smooth(), None, name="a.png", seed=(n,)).image for n in range(12)]
    assert any(not torch.allclose(view, smooth(), atol=1e-3) for view in views)
    same = draw_view(augmentation("identity"), smooth(), None, name="a.png", seed=(0,)).image
    assert torch.equal(same, smooth())


@pytest.mark.parametrize("name", NAMES[1:])
def test_draws_are_told_by_seed_and_name_and_leave_the_generator_alone(name):
    def draw(image: str, seed: int) -> list[torch.Tensor]:
        return [draw_view(augmentation(name), smooth(), None, name=image, seed=(seed, n)).image for n in range(6)]

    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = draw("a.png", 0)
    assert torch.rand(1) == expected
    assert all(map(torch.equal, first, draw("a.png", 0)))
    assert not all(map(torch.equal, first, draw("b.png", 0)))
    assert not all(map(torch.equal, first, draw("a.png", 1)))


def test_photometric_ones_are_torchvisions_with_the_stated_settings():
    assert augmentation("gaussian_blur").kernel_size == (11, 11) or list(augmentation("gaussian_blur").kernel_size) == [
        11,
        11,
    ]
    solarized = v2.RandomSolarize(0.1, p=1.0)(Image(smooth()))
    views = [draw_view(augmentation("solarize"), smooth(), None, name="a", seed=(n,)).image for n in range(8)]
    kinds = [torch.equal(view, solarized) for view in views]
    assert 0 < sum(kinds) < 8
    assert all(torch.equal(view, smooth()) for view, is_solarized in zip(views, kinds, strict=True) if not is_solarized)


@pytest.mark.parametrize("degrees", [-20.0, 7.5, 20.0])
def test_turning_is_torchvisions_rotation_where_no_edge_is_seen(degrees):
    ours = warp(smooth(), turn(degrees, (48, 64)))
    theirs = F.rotate(smooth(), degrees, interpolation=F.InterpolationMode.BILINEAR)
    inner = (slice(None), slice(14, -14), slice(14, -14))
    assert torch.allclose(ours[inner], theirs[inner], atol=0.02)


def test_turned_corners_show_the_image_mirrored_and_no_black():
    assert torch.allclose(warp(torch.ones(3, 48, 64), turn(20.0, (48, 64))), torch.ones(3, 48, 64))


def test_a_window_is_the_crop_enlarged():
    image = smooth(72, 72)
    cropped = F.resized_crop(image, 4, 6, 64, 64, [72, 72], antialias=False)
    assert torch.allclose(
        warp(image, window(6 / 72, 4 / 72, 64 / 72))[:, 2:-2, 2:-2], cropped[:, 2:-2, 2:-2], atol=1e-3
    )


@pytest.mark.parametrize(("horizontally", "axes"), [(True, [-1]), (False, [-2])])
def test_mirrors_move_pixels_exactly(horizontally, axes):
    image = torch.rand(3, 30, 50)
    matrix = mirror(horizontally=horizontally, vertically=not horizontally)
    assert torch.allclose(warp(image, matrix), image.flip(axes), atol=1e-4)
    back, seen = warp_back(image.flip(axes), matrix)
    assert torch.allclose(back, image, atol=1e-4)
    assert seen.all()


@pytest.mark.parametrize("name", ["random_crop", "rotation", "flip"])
def test_masks_move_with_their_image(name):
    marks = torch.zeros(48, 64, dtype=torch.uint8)
    marks[10:30, 20:44] = 1
    image = marks.expand(3, -1, -1).float()
    for number in range(6):
        view = draw_view(augmentation(name), image, marks, name="a", seed=(number,))
        assert ((view.image[0] > 0.5) == view.mask.bool()).float().mean() > 0.99
        assert view.mask.any()


@pytest.mark.parametrize(
    "matrix", [turn(17.0, (48, 64)), window(0.05, 0.1, 0.8889), mirror(horizontally=True, vertically=True)]
)
@pytest.mark.parametrize("map_size", [(48, 64), (24, 32)])
def test_a_map_of_a_view_comes_back_to_its_place(matrix, map_size):
    image = F.resize(smooth(), list(map_size), antialias=False)[0]
    back, seen = warp_back(warp(image, matrix)[None], matrix)
    assert seen.shape == map_size
    assert 0.7 < seen.float().mean() <= 1
    assert (back[0] - image)[seen].abs().mean() < 0.02


def test_pixels_a_view_does_not_show_are_left_out_of_the_merge():
    corner = window(0.0, 0.0, 0.5)  # shows the top left quarter
    still, high = torch.full((1, 1, 8, 8), 1.0), torch.full((1, 1, 8, 8), 5.0)
    mean = merge_maps([still, high], [[None], [corner]], how="mean")[0, 0]
    assert (mean[:3, :3] == 3).all()
    assert (mean[4:] == 1).all()
    assert (mean[:, 4:] == 1).all()
    largest = merge_maps([still, high], [[None], [corner]], how="max")[0, 0]
    assert (largest[:3, :3] == 5).all()
    assert (largest[4:] == 1).all()


def test_scores_merge_over_views():
    scores = torch.tensor([[1.0, 4.0], [3.0, 2.0]])
    assert merge_scores(scores, how="mean").tolist() == [2, 3]
    assert merge_scores(scores, how="max").tolist() == [3, 4]


def test_a_transform_by_name_serves_a_datamodule_too():
    pytest.importorskip("elpv_dataset")
    data = Elpv(n_train=2, n_test=2, num_workers=0, train_augmentations=augmentation("rotation"))
    plain = Elpv(n_train=2, n_test=2, num_workers=0)
    for one in (data, plain):
        one.setup()
    assert not np.allclose(data.train_data[0].image, plain.train_data[0].image)
    assert data.train_data[0].image.shape == plain.train_data[0].image.shape


def test_an_unknown_name_lists_the_right_ones():
    with pytest.raises(ConfigError, match=r"there is no 'rotate'; did you mean rotation.*flip, gaussian_blur"):
        augmentation("rotate")


def test_masks_of_other_shapes_follow():
    image, mask = augmentation("flip")(Image(torch.rand(3, 16, 16)), Mask(torch.ones(1, 16, 16, dtype=torch.uint8)))
    assert image.shape == (3, 16, 16)
    assert mask.shape == (1, 16, 16)
