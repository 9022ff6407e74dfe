"""Models that are told by their data set how images are read, and of how many channels they are."""

import numpy as np
import pytest
import tifffile
import timm
import torch
from anomalib.engine import Engine
from anomalib.models import Padim as StockPadim
from PIL import Image

from extensions import BackboneOcSvm, Cdo, ConvAutoencoder, Folder, Padim, Patchcore, RegAd, Stfpm
from extensions.models.common.imaging_mixin import take_imaging

SIDE = 48


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    """Ten good and three bad images of five channels; a bad one differs in the fourth."""
    root = tmp_path_factory.mktemp("five")
    for name, n in (("good", 10), ("bad", 3)):
        (root / name).mkdir()
        for index in range(n):
            values = np.random.default_rng([index, n]).normal(1200, 20, (SIDE, SIDE, 5)).astype(np.uint16)
            if name == "bad":
                values[10:25, 10:25, 3] += 150
            tifffile.imwrite(root / name / f"{index}.tif", values, photometric="minisblack", planarconfig="contig")
    return root


def data(root, **settings):
    given = {"channels": 5, "range": [1000, 1400]} | settings
    return Folder("five", "good", root=root, abnormal_dir="bad", num_workers=0, **given)


def padim(**settings):
    plain = {"pre_trained": False, "image_size": SIDE, "evaluator": False, "visualizer": False}
    return Padim("resnet18", **plain | settings)


@pytest.fixture(scope="module")
def trained(five, tmp_path_factory):
    """Path of a checkpoint, and the scores of the test images by the model that wrote it."""
    torch.manual_seed(0)
    engine = make_engine(tmp_path_factory.mktemp("out"))
    model = padim()
    engine.fit(model, datamodule=data(five))
    return engine.best_model_path, scores(engine.predict(model, datamodule=data(five)))


def make_engine(root):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return Engine(default_root_dir=root, **quiet)


def scores(batches):
    return {path: float(s) for b in batches for path, s in zip(b.image_path, b.pred_score.flatten(), strict=True)}


def test_the_backbone_is_timms_of_as_many_channels(five):
    model = padim()
    rgb = {
        name: tensor.clone() for name, tensor in model.model.feature_extractor.feature_extractor.state_dict().items()
    }
    dm = data(five)
    dm.setup()
    take_imaging(model, dm)
    theirs = timm.create_model("resnet18", features_only=True, in_chans=5, out_indices=(1, 2, 3)).eval()
    rgb["conv1.weight"] = timm.models.adapt_input_conv(5, rgb["conv1.weight"])
    theirs.load_state_dict(rgb, strict=False)
    images = torch.randn(1, 5, SIDE, SIDE)
    with torch.no_grad():
        found = model.model.feature_extractor(images)
        for one, expected in zip(found.values(), theirs(images), strict=True):
            torch.testing.assert_close(one, expected)
    normalize = model.pre_processor.transform.transforms[-1]
    assert list(normalize.mean) == [0.485, 0.456, 0.406, 0.485, 0.456]


def test_a_checkpoint_brings_range_and_channels(five, trained, tmp_path):
    checkpoint, expected = trained
    restored = Padim.load_from_checkpoint(checkpoint)
    assert restored.imaging.n_channels == 5
    assert restored.imaging.range.highs == (1400.0,)
    fresh = padim()
    found = scores(make_engine(tmp_path).predict(fresh, datamodule=data(five), ckpt_path=checkpoint))
    assert found == pytest.approx(expected, abs=1e-4)


def test_files_of_a_folder_are_read_as_in_training(five, trained, tmp_path):
    checkpoint, expected = trained
    found = scores(make_engine(tmp_path).predict(padim(), data_path=five / "bad", ckpt_path=checkpoint))
    assert found == pytest.approx({path: expected[path] for path in found}, abs=1e-4)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"range": [1000, 2000]}, "range is 1000 to 2000 there and 1000 to 1400 in training; give the data set what"),
        ({"range": None}, "range is not set there and 1000 to 1400 in training"),
    ],
)
def test_a_checkpoint_of_another_range_is_refused(five, trained, tmp_path, settings, sentence):
    with pytest.raises(ValueError, match=f"Padim was trained on images that are read otherwise .* 'five': {sentence}"):
        make_engine(tmp_path).predict(padim(), datamodule=data(five, **settings), ckpt_path=trained[0])


def test_a_checkpoint_of_three_channels_is_refused_by_five(five, tiny_folder, tmp_path):
    engine = make_engine(tmp_path)
    engine.fit(padim(), datamodule=tiny_folder())
    with pytest.raises(ValueError, match="channels is 5 there and not set in training; give the data set"):
        make_engine(tmp_path / "2").predict(
            padim(), datamodule=data(five, range=None), ckpt_path=engine.best_model_path
        )


@pytest.mark.parametrize(
    "build",
    [
        lambda: ConvAutoencoder(image_size=64),
        lambda: Cdo("resnet18", pre_trained=False, image_size=64),
        lambda: padim(support_views=True),
    ],
)
def test_models_of_red_green_and_blue_refuse_other_channels(five, build):
    dm = data(five)
    dm.setup()
    with pytest.raises(ValueError, match="takes images of 3 channels only, the data set has 5: choose another"):
        take_imaging(build(), dm)


def test_reg_ad_and_its_kind_say_that_they_take_three_channels():
    assert not RegAd.takes_channels.fget(object())


def test_a_model_of_anomalib_refuses_range_and_channels(five):
    dm = data(five)
    dm.setup()
    with pytest.raises(ValueError, match="Padim does not know range, channels, which the data set 'five' sets: choose"):
        take_imaging(StockPadim(pre_trained=False), dm)


@pytest.mark.parametrize("kind", [Patchcore, Stfpm, BackboneOcSvm])
def test_other_detectors_on_backbones_take_five_channels(five, tmp_path, kind):
    settings = {"pre_trained": False, "image_size": SIDE, "evaluator": False, "visualizer": False}
    model = kind("resnet18", **settings)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    Engine(default_root_dir=tmp_path, max_epochs=1, **quiet).fit(model, datamodule=data(five))
    restored = kind.load_from_checkpoint(next(tmp_path.rglob("*.ckpt")))
    images = torch.rand(2, 5, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(model.eval().model(images).pred_score, restored.eval().model(images).pred_score)


def test_twelve_bits_reach_the_cache_unrounded(five, monkeypatch, tmp_path):
    from extensions.cache import open_cache
    from extensions.models.common.cached_run import CachedRun

    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    dm, model = data(five), padim()
    dm.setup()
    take_imaging(model, dm)
    cached = CachedRun(open_cache(), dm, model)
    cached.prepare("train")
    served = cached.datamodule().train_data
    for index in (0, 1):
        torch.testing.assert_close(served.load(index)[0], np.asarray(dm.train_data[index].image), atol=1e-6, rtol=0)
    served.with_pixels = False
    assert served.collate_fn([served[0], served[1]]).image.shape == (2, 5, SIDE, SIDE)


def test_images_are_shown_by_their_range(five, trained):
    from extensions.models.common.visualizer import UprightVisualizer, _as_read

    model = Padim.load_from_checkpoint(trained[0])
    item = type("Item", (), {"image_path": str(five / "bad" / "0.tif"), "image": None})()
    assert UprightVisualizer().imaging.is_plain
    found = _as_read(item, model.imaging).image
    values = tifffile.imread(five / "bad" / "0.tif")[..., :3].astype(np.float32)
    np.testing.assert_allclose(found.permute(1, 2, 0), (values - 1000) / 400, atol=1 / 255)
    assert Image.fromarray((found.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).mode == "RGB"
