"""What every model promises where a data set has a region of interest: nothing outside is learned from or scored."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import seed_everything
from PIL import Image

import extensions
from extensions.models.common.region_mixin import inside_of
from inference.export.network import ExportedNetwork
from tests.extensions.models.test_contract import MODELS, WITHOUT_MAP, build

REFUSING = {"Ensemble", "Fastflow", "RegAd"}
FIXED_ONLY = {"ConvAutoencoder", "AutoencoderOcSvm"}
HEEDING = [name for name in MODELS if name not in REFUSING]


def spoiled(images: np.ndarray, roi: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same images with other pixels wherever the region is not."""
    noise = rng.integers(0, 256, images.shape, dtype=np.uint8)
    return np.where(roi[..., None] > 0, images, noise)


@pytest.fixture(scope="module")
def roi() -> np.ndarray:
    """(64, 64): a block that is no multiple of what the networks see at once."""
    mask = np.zeros((64, 64), np.uint8)
    mask[10:50, 6:41] = 255
    return mask


@pytest.fixture(scope="module")
def roots(tiny_root, tmp_path_factory, roi) -> tuple[Path, Path]:
    """The tiny images, and the same ones with other pixels outside; a mask of the region in both."""
    rng, made = np.random.default_rng(1), []
    for name in ("as_is", "spoiled"):
        root = tmp_path_factory.mktemp(name)
        for path in sorted(tiny_root.rglob("*.png")):
            image = np.asarray(Image.open(path))
            if name == "spoiled" and image.ndim == 3:
                image = spoiled(image, roi, rng)
            (root / path.relative_to(tiny_root)).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / path.relative_to(tiny_root))
        Image.fromarray(roi).save(root / "roi.png")
        made.append(root)
    return made[0], made[1]


def folder(root: Path, **init_args: object) -> extensions.Folder:
    folders = {
        "normal_dir": "train/good",
        "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad",
        "mask_dir": "mask/bad",
    }
    loading = {"train_batch_size": 4, "eval_batch_size": 4, "num_workers": 0}
    return extensions.Folder("tiny", root=root, **(folders | loading | {"roi": "roi.png"} | init_args))


def trained(name, bare, engine, root, **data):
    seed_everything(0)
    model = build(name, bare)
    fitting = engine()
    fitting.fit(model, datamodule=folder(root, **data))
    return model, fitting.best_model_path


def prepared(model, root: Path) -> torch.Tensor:
    arrays = [np.asarray(Image.open(path)) for path in sorted((root / "test").rglob("*.png"))]
    images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255
    return model.pre_processor.transform(images)


@torch.no_grad()
def scored(model, root: Path):
    return model.model.eval()(prepared(model, root))


@pytest.fixture(scope="module", params=HEEDING)
def fitted(request, bare, engine, roots):
    return request.param, *trained(request.param, bare, engine, roots[0])


def test_pixels_outside_change_neither_training_nor_scores_nor_maps(fitted, bare, engine, roots):
    name, model, _ = fitted
    expected = scored(model, roots[0])
    seen = scored(model, roots[1])
    assert torch.equal(seen.pred_score, expected.pred_score)
    other, _ = trained(name, bare, engine, roots[1])
    again = scored(other, roots[0])
    torch.testing.assert_close(again.pred_score, expected.pred_score, atol=1e-6, rtol=1e-5)
    if name not in WITHOUT_MAP:
        assert torch.equal(seen.anomaly_map, expected.anomaly_map)


def test_the_map_is_0_outside_and_its_highest_score_lies_inside(fitted, roots, roi):
    name, model, _ = fitted
    if name in WITHOUT_MAP:
        return
    found = scored(model, roots[0])
    outside = torch.from_numpy(roi == 0)
    assert (found.anomaly_map[:, 0][:, outside] == 0).all()
    assert (found.anomaly_map[:, 0][:, ~outside] > 0).float().mean() > 0.9
    assert torch.equal(inside_of(model, prepared(model, roots[0]))[0, 0], ~outside)


def test_a_checkpoint_brings_the_region_back(fitted, bare, roots):
    _, model, checkpoint = fitted
    again = type(model).load_from_checkpoint(checkpoint, **bare)
    expected, found = scored(model, roots[0]), scored(again, roots[1])
    torch.testing.assert_close(found.pred_score, expected.pred_score, atol=1e-5, rtol=1e-5)
    assert again.imaging == model.imaging


def test_what_is_exported_computes_the_same(fitted, roots):
    name, model, _ = fitted
    if name in WITHOUT_MAP:
        return
    expected = scored(model, roots[0])
    bare_transform = [step for step in model.pre_processor.transform.transforms if "Fill" not in type(step).__name__]
    images = prepared(model, roots[1])  # filled already: filling again changes nothing
    assert len(bare_transform) < len(model.pre_processor.transform.transforms)
    with torch.no_grad():
        score, anomaly_map, inside = ExportedNetwork(model, (64, 64))(images)
    torch.testing.assert_close(score, expected.pred_score.flatten(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(anomaly_map, expected.anomaly_map, atol=1e-4, rtol=1e-4)
    assert torch.equal(inside[0] > 0, inside_of(model, images)[0])


def test_patchcore_keeps_patches_of_the_inside_only(bare, engine, roots, roi):
    model, _ = trained("Patchcore", bare | {"coreset_sampling_ratio": 1.0, "layers": ["layer2"]}, engine, roots[0])
    blocks = roi.reshape(8, 8, 8, 8).max(axis=(1, 3)) > 0  # positions of layer2 with any pixel inside
    assert len(model.model.memory_bank) == 8 * blocks.sum()


def test_padim_keeps_gaussians_of_the_inside_only(bare, engine, roots, roi):
    model, _ = trained("Padim", bare | {"layers": ["layer2"]}, engine, roots[0])
    blocks = roi.reshape(8, 8, 8, 8).max(axis=(1, 3)) > 0
    assert model.model.gaussian.mean.shape == (20, blocks.sum())


@pytest.mark.parametrize("name", sorted(REFUSING))
def test_models_that_cannot_leave_out_a_region_say_so(name, bare, engine, roots):
    with pytest.raises(ValueError, match="cannot leave out a region"):
        trained(name, bare, engine, roots[0])


def test_a_stock_model_is_refused(roots, engine):
    from anomalib.models import Padim

    from extensions.models.common.imaging_mixin import take_imaging

    model = Padim(backbone="test_resnet", pre_trained=False, layers=["layer1"], n_features=20)
    with pytest.raises(ValueError, match="does not know region, which the data set 'tiny' sets"):
        take_imaging(model, folder(roots[0]))


def test_a_data_set_of_another_region_cannot_be_tested(bare, engine, roots):
    model, _ = trained("Padim", bare, engine, roots[0])
    with pytest.raises(ValueError, match="sets region otherwise than the data set that Padim was trained on"):
        engine().test(model, datamodule=folder(roots[0], border=9))


@pytest.fixture(scope="module")
def parts_root(tmp_path_factory) -> tuple[Path, Path]:
    """Striped parts in another place of an even background each, and the same with another speck on the background."""
    rng, roots = np.random.default_rng(0), []
    for name in ("clean", "specks"):
        root = tmp_path_factory.mktemp(name)
        draw = np.random.default_rng(0)
        for where, n in (("train/good", 6), ("test/good", 3), ("test/bad", 3), ("mask/bad", 3)):
            (root / where).mkdir(parents=True)
            for index in range(n):
                image = np.full((64, 64, 3), 30, np.uint8)
                top, left = draw.integers(12, 20, 2)
                image[top : top + 32, left : left + 32] = (140 + 40 * np.sin(np.arange(32) / 3))[None, :, None]
                if name == "specks":
                    row, column = rng.integers(2, 6, 2)
                    image[row : row + 3, column : column + 3] = 34
                    image[56:59, 40:43] = 27
                if where == "mask/bad":
                    image = np.zeros((64, 64), np.uint8)
                    image[20:24, 20:24] = 255
                Image.fromarray(image).save(root / where / f"{index}.png")
        roots.append(root)
    return roots[0], roots[1]


@pytest.mark.parametrize("name", [name for name in HEEDING if name not in FIXED_ONLY])
def test_what_differs_on_the_background_changes_no_score(name, bare, engine, parts_root):
    model, checkpoint = trained(name, bare, engine, parts_root[0], roi="foreground")
    expected, found = scored(model, parts_root[0]), scored(model, parts_root[1])
    torch.testing.assert_close(found.pred_score, expected.pred_score, atol=1e-3, rtol=1e-3)
    again = type(model).load_from_checkpoint(checkpoint, **bare)
    torch.testing.assert_close(scored(again, parts_root[0]).pred_score, expected.pred_score, atol=1e-5, rtol=1e-5)
    if name in WITHOUT_MAP:
        return
    outside = ~inside_of(model, prepared(model, parts_root[0]))
    assert 0.5 < outside.float().mean() < 0.8
    assert (expected.anomaly_map[outside] == 0).all()
    with torch.no_grad():
        score, anomaly_map, _ = ExportedNetwork(model, (64, 64))(prepared_without_fill(model, parts_root[0]))
    torch.testing.assert_close(score, expected.pred_score.flatten(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(anomaly_map, expected.anomaly_map, atol=1e-4, rtol=1e-4)


def prepared_without_fill(model, root: Path) -> torch.Tensor:
    from extensions.models.common.region_mixin import without_fill

    fill = model.pre_processor.transform
    model.pre_processor.transform = without_fill(fill)
    try:
        return prepared(model, root)
    finally:
        model.pre_processor.transform = fill


@pytest.mark.parametrize("name", sorted(FIXED_ONLY))
def test_models_without_normalization_refuse_the_foreground(name, bare, engine, parts_root):
    with pytest.raises(ValueError, match="heeds no region that differs by image, but roi is foreground"):
        trained(name, bare, engine, parts_root[0], roi="foreground")
