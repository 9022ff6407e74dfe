"""A region of interest in images that are looked at in tiles: as of whole images, nothing outside changes anything."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import seed_everything
from PIL import Image

import extensions
from extensions.data.cutting import FILL, cut_of, fill_in_unit
from extensions.data.errors import DatasetError
from extensions.data.imaging import Imaging
from extensions.data.reading.image_files import read_image
from extensions.data.regions.region import Region, mask_of, runs_of
from extensions.data.tiling.settings import Tiling
from extensions.data.value_range import ValueRange
from extensions.models.common.tiled_scoring import raw_scores
from inference.export.write_model import ExportOptions, export_model
from inference.model.checkpoints import load_checkpoint
from inference.model.predictors import load_predictor
from tests.extensions.models.test_contract import WITHOUT_MAP, build
from tests.extensions.models.test_regions import HEEDING, spoiled

SIZE = (96, 160)  # height and width
TILING = {"tile": 64, "overlap": 16}


@pytest.fixture(scope="module")
def roi() -> np.ndarray:
    """A block that leaves the first tile out and no tile whole."""
    mask = np.zeros(SIZE, np.uint8)
    mask[40:90, 70:150] = 255
    return mask


@pytest.fixture(scope="module")
def roots(tmp_path_factory, roi) -> tuple[Path, Path]:
    """Striped strips, and the same ones with other pixels outside of the region."""
    draw, made = np.random.default_rng(0), []
    images = {}
    for folder, n in (("good", 6), ("test", 2), ("bad", 2)):
        for index in range(n):
            stripes = 120 + 40 * np.sin((np.arange(SIZE[1]) + draw.integers(8)) / 3)[None, :, None]
            image = stripes + draw.normal(0, 8, (*SIZE, 3))
            if folder == "bad":
                image[60:70, 100:110] = 250
            images[f"{folder}/{index}.png"] = image.clip(0, 255).astype(np.uint8)
    for name in ("as_is", "spoiled"):
        root, rng = tmp_path_factory.mktemp(name), np.random.default_rng(1)
        for file, image in images.items():
            (root / file).parent.mkdir(exist_ok=True)
            Image.fromarray(spoiled(image, roi, rng) if name == "spoiled" else image).save(root / file)
        Image.fromarray(roi).save(root / "roi.png")
        made.append(root)
    return made[0], made[1]


def strips(root: Path, **init_args: object) -> extensions.Folder:
    folders = {"normal_dir": "good", "normal_test_dir": "test", "abnormal_dir": "bad", "roi": "roi.png"}
    return extensions.Folder("strips", root=root, **(folders | {"tiling": TILING, "num_workers": 0} | init_args))


def trained(name, bare, engine, root):
    seed_everything(0)
    model = build(name, bare)
    fitting = engine()
    fitting.fit(model, datamodule=strips(root))
    return model.eval(), Path(fitting.best_model_path)


@torch.no_grad()
def scored(model, root: Path):
    arrays = [read_image(path) for folder in ("test", "bad") for path in sorted((root / folder).iterdir())]
    return raw_scores(model, torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255)


@pytest.mark.parametrize("name", HEEDING)
def test_pixels_outside_change_neither_training_nor_scores_nor_maps(name, bare, engine, roots, roi):
    model, checkpoint = trained(name, bare, engine, roots[0])
    expected, seen = scored(model, roots[0]), scored(model, roots[1])
    assert torch.equal(seen.pred_score, expected.pred_score)
    again = scored(trained(name, bare, engine, roots[1])[0], roots[0])
    torch.testing.assert_close(again.pred_score, expected.pred_score, atol=1e-6, rtol=1e-5)
    restored = scored(type(model).load_from_checkpoint(checkpoint, **bare).eval(), roots[1])
    torch.testing.assert_close(restored.pred_score, expected.pred_score, atol=1e-5, rtol=1e-5)
    if name not in WITHOUT_MAP:
        assert torch.equal(seen.anomaly_map, expected.anomaly_map)
        outside = torch.from_numpy(roi == 0)
        assert (expected.anomaly_map[:, 0][:, outside] == 0).all()
        assert (expected.anomaly_map[:, 0][:, ~outside] > 0).float().mean() > 0.9


def test_a_tile_that_nobody_looks_at_is_not_trained_on(roots, roi):
    data = strips(roots[0])
    data.setup()
    cut = cut_of(data.imaging, SIZE)
    inside = [roi[cut.grid.box(index)].any() for index in range(len(cut.grid))]
    assert cut.kept == tuple(np.flatnonzero(inside))
    assert len(data.train_data) == 6 * sum(inside) < 6 * len(inside)
    tile = (data.train_data[0].image * 255).round().permute(1, 2, 0).numpy()
    box = cut.grid.box(cut.kept[0])
    assert (tile[roi[box] == 0] == FILL).all()
    assert np.array_equal(tile[roi[box] > 0], read_image(data.train_data.samples.image_path[0])[box][roi[box] > 0])


@pytest.mark.parametrize("name", ["Padim", "Patchcore"])
def test_an_exported_network_of_a_tile_scores_whole_images_alike(name, bare, engine, roots, roi, tmp_path):
    checkpoint = trained(name, bare, engine, roots[0])[1]
    model, info = load_checkpoint(checkpoint)
    assert np.array_equal(info.imaging.region.mask, roi > 0)
    files = sorted((roots[0] / "good").iterdir())
    export_model(model, info, tmp_path / "model", files=files, options=ExportOptions(allow_difference=True))
    predictor = load_predictor(tmp_path / "model/model.xml")
    image, other = (read_image(root / "bad/0.png") for root in roots)
    one, same = predictor.predict([image, other])
    expected = scored(model, roots[0])
    assert one.pred_score == pytest.approx(float(expected.pred_score[2]), rel=1e-4)
    assert one.pred_score == same.pred_score
    assert np.abs(one.anomaly_map - expected.anomaly_map[2, 0].numpy()).max() < 1e-3 * one.anomaly_map.max()
    assert np.array_equal(one.inside, roi > 0)
    with pytest.raises(
        ValueError, match=r"the image is 160 x 97 px .* but the region of interest is for images of 160"
    ):
        predictor.predict([np.zeros((97, 160, 3), np.uint8)])
    in_torch = load_predictor(checkpoint).predict([image])[0]
    assert in_torch.pred_score == pytest.approx(one.pred_score, rel=1e-4)


def test_what_is_put_outside_is_no_gray_and_the_same_in_every_kind_of_numbers():
    assert len(set(FILL)) == 3
    deep = Imaging(tiling=Tiling((8, 8), (0, 0)), range=ValueRange((1000.0,), (1400.0,)))
    expected = np.round(1000 + np.array(FILL) / 255 * 400)
    assert np.allclose(fill_in_unit(deep), (expected - 1000) / 400)
    assert np.allclose(fill_in_unit(Imaging(tiling=Tiling((8, 8), (0, 0)))), np.array(FILL) / 255)


def test_runs_give_the_mask_back():
    rng = np.random.default_rng(0)
    for mask in (rng.random((7, 9)) > 0.5, np.ones((3, 4), bool), np.zeros((3, 4), bool)):
        assert np.array_equal(mask_of(runs_of(mask), mask.shape), mask)
    with pytest.raises(ValueError, match="runs of 12 pixels, expected 3 x 5"):
        mask_of(runs_of(np.ones((3, 4), bool)), (3, 5))


def test_the_foreground_and_images_of_few_channels_are_refused_in_tiles(roots, tmp_path):
    with pytest.raises(ValueError, match="has tiling and roi: foreground, which is found in whole images"):
        strips(roots[0], roi="foreground")
    for folder in ("good", "test", "bad"):
        (tmp_path / folder).mkdir()
        for path in (roots[0] / folder).iterdir():
            Image.open(path).convert("L").save(tmp_path / folder / path.name)
    Image.open(roots[0] / "roi.png").save(tmp_path / "roi.png")
    with pytest.raises(DatasetError, match="has tiling, a region of interest and images of 1 channel"):
        strips(tmp_path, channels=1).setup()


def test_a_region_is_resized_with_the_images(roots, roi):
    region = Region(roi > 0)
    cut = cut_of(Imaging(region=region, tiling=Tiling((24, 24), (4, 4), resize=(48, 80))), SIZE)
    assert cut.inside.shape == (48, 80)
    assert np.array_equal(cut.inside, roi[1::2, 1::2] > 0)


@pytest.mark.parametrize("name", ["Padim", "Patchcore", "ConvAutoencoder"])
def test_resizing_lets_nothing_of_the_outside_in(name, bare, engine, roots, roi, tmp_path):
    """The networks see 64 x 64 px of images of 160 x 96."""
    seed_everything(0)
    model, fitting = build(name, bare), engine()
    fitting.fit(model, datamodule=strips(roots[0], tiling=None))
    datasets = [strips(root, tiling=None) for root in roots]
    found = []
    for data in datasets:
        data.setup()
        batch = data.test_data.collate_fn([data.test_data[index] for index in range(4)])
        with torch.no_grad():
            found.append(model.model.eval()(model.pre_processor.transform(batch.image)))
    assert torch.equal(found[0].pred_score, found[1].pred_score)
    assert torch.equal(found[0].anomaly_map, found[1].anomaly_map)
    checkpoint = Path(fitting.best_model_path)
    trained_model, info = load_checkpoint(checkpoint)
    files = sorted((roots[0] / "good").iterdir())
    export_model(trained_model, info, tmp_path / "model", files=files, options=ExportOptions(allow_difference=True))
    names = [str(path) for path in datasets[0].test_data.samples["image_path"]]
    images = [read_image(names[0]), read_image(names[0].replace(str(roots[0]), str(roots[1])))]
    for predictor in (load_predictor(tmp_path / "model/model.xml"), load_predictor(checkpoint)):
        one, other = predictor.predict(images)
        assert one.pred_score == other.pred_score == pytest.approx(float(found[0].pred_score[0]), rel=1e-4)
        assert np.array_equal(one.anomaly_map, other.anomaly_map)
        with pytest.raises(ValueError, match="but the region of interest is for images of 160 x 96: give images of"):
            predictor.predict([images[0][:64]])
