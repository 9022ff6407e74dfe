"""Whatever way an image file takes into a model of ours, it is read as in training."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from anomalib.data import Folder as StockFolder
from anomalib.data import PredictDataset
from anomalib.models import Padim as StockPadim
from anomalib.visualization import ImageVisualizer
from PIL import Image
from torch.utils.data import DataLoader

import extensions
from extensions.data.reading.image_files import read_image
from extensions.models.common.reading_mixin import LoaderReader
from extensions.models.common.visualizer import UprightVisualizer

SIDE = 48


def stripes(rng: np.random.Generator) -> np.ndarray:
    """(48, 64) in 0 to 1: not square, so that a turn shows."""
    return (0.5 + 0.3 * np.sin(np.arange(64) / 4) + rng.normal(0, 0.02, (SIDE, 64))).clip(0, 1)


def deep(values: np.ndarray, path: Path) -> None:
    Image.fromarray((values * 65535).astype(np.uint16)).save(path.with_suffix(".png"))


def hidden(values: np.ndarray, path: Path) -> None:
    pixels = np.repeat((values * 255).astype(np.uint8)[..., None], 4, axis=2)
    pixels[..., 3] = 255
    pixels[:20] = np.random.default_rng(0).integers(0, 255, (20, 64, 4))
    pixels[:20, :, 3] = 0
    Image.fromarray(pixels, "RGBA").save(path.with_suffix(".png"))


def turned(values: np.ndarray, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((values * 255).astype(np.uint8)).save(path.with_suffix(".png"), exif=exif)


def floating(values: np.ndarray, path: Path) -> None:
    Image.fromarray(values.astype(np.float32)).save(path.with_suffix(".tif"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Eight images of each kind in a folder of its name, read by anomalib's reader otherwise than by ours."""
    root = tmp_path_factory.mktemp("kinds")
    for write in (deep, hidden, turned, floating):
        (root / write.__name__ / "good").mkdir(parents=True)
        for number in range(8):
            write(stripes(np.random.default_rng(number)), root / write.__name__ / "good" / f"{number}")
    return root


@pytest.fixture
def model(bare):
    return extensions.Padim("resnet18", ["layer1"], pre_trained=False, image_size=32, n_features=8, **bare)


def batches(found) -> dict[str, float]:
    """Scores by file name."""
    return {
        Path(path).name: round(float(score), 4)
        for batch in found
        for path, score in zip(batch.image_path, batch.pred_score, strict=True)
    }


@pytest.mark.parametrize("kind", ["deep", "hidden", "turned", "floating"])
def test_every_way_to_predict_gives_the_scores_of_our_datamodule(kind, folders, model, engine, raw_scores):
    good = folders / kind / "good"
    ours = extensions.Folder("x", "good", root=str(good.parent), num_workers=0)
    trained = engine()
    trained.fit(model, datamodule=ours)
    dataset = PredictDataset(good)
    found = batches(trained.predict(model, data_path=good))
    assert len(found) == 8
    expected = {
        path.name: float(raw_scores(model, as_tensor(path)[None]).pred_score) for path in sorted(good.iterdir())
    }
    assert found == pytest.approx(expected, abs=1e-3)
    loader = DataLoader(dataset, batch_size=3, collate_fn=dataset.collate_fn)
    for way in (
        {"data_path": sorted(good.iterdir())[0]},
        {"dataset": dataset},
        {"dataloaders": loader},
        {"dataloaders": [DataLoader(dataset, batch_size=2, num_workers=1, collate_fn=dataset.collate_fn)]},
    ):
        part = batches(trained.predict(model, **way))
        assert part == pytest.approx({name: found[name] for name in part}, abs=1e-3)
    assert loader.dataset is dataset


def as_tensor(path: Path) -> torch.Tensor:
    return torch.from_numpy(read_image(path)).permute(2, 0, 1) / 255


def stock(folders: Path) -> StockFolder:
    splits = {"val_split_mode": "same_as_test"}
    return StockFolder(name="x", root=folders / "deep", normal_dir="good", num_workers=0, **splits)


def seen_in_training(model, engine, datamodule) -> dict[str, torch.Tensor]:
    """What the network gets in one epoch, (3, H, W) each, by file."""
    found: dict[str, torch.Tensor] = {}
    step = model.training_step

    def training_step(batch, *args):
        found.update(zip(batch.image_path, batch.image.clone(), strict=True))
        return step(batch, *args)

    model.training_step = training_step
    engine().fit(model, datamodule=datamodule)
    return found


def test_anomalibs_datamodule_is_read_as_ours_and_a_stock_model_as_ever(folders, model, engine, bare):
    datamodule = stock(folders)
    seen = seen_in_training(model, engine, datamodule)
    assert len(seen) >= 6
    for path, image in seen.items():
        expected = model.pre_processor.transform(as_tensor(Path(path)))
        torch.testing.assert_close(image, expected, atol=1e-4, rtol=0)
        assert float(image.std(dim=(1, 2)).min()) > 0.5
    assert float(datamodule.train_data[0].image.std()) < 0.2  # the data set itself reads as ever

    theirs = StockPadim("resnet18", ["layer1"], pre_trained=False, n_features=8, **bare)
    for white in seen_in_training(theirs, engine, stock(folders)).values():
        assert float(white.std(dim=(1, 2)).max()) < 0.3  # anomalib clips 16 bits to white


def test_one_trainer_reads_each_models_files_its_way(folders, model, engine, bare):
    shared = engine()
    shared.fit(model, datamodule=stock(folders))
    reader = shared.trainer.strategy.process_dataloader
    assert isinstance(reader, LoaderReader)
    loader = DataLoader(PredictDataset(folders / "deep/good"))
    assert reader(loader).dataset is not loader.dataset
    shared.trainer.strategy._lightning_module = StockPadim("resnet18", pre_trained=False, **bare)
    assert reader(loader) is loader


def test_the_map_lies_on_the_image_as_it_is_shown(folders, engine, tmp_path):
    good = folders / "turned/good"
    model = extensions.Padim("resnet18", ["layer1"], pre_trained=False, image_size=32, n_features=8)
    trained = engine()
    trained.fit(model, datamodule=extensions.Folder("x", "good", root=str(good.parent), num_workers=0))
    model.visualizer = ImageVisualizer(fields=["image"], output_dir=tmp_path, text_config={"enable": False})
    batch = trained.predict(model, data_path=good / "0.png")[0]
    assert isinstance(model.visualizer, UprightVisualizer)
    (path,) = tmp_path.rglob("*.png")
    drawn = np.asarray(Image.open(path).convert("L"), np.float32)[:, :256]
    shown = np.asarray(Image.fromarray(read_image(good / "0.png")).convert("L").resize((256, 256)), np.float32)
    assert np.corrcoef(drawn.ravel(), shown.ravel())[0, 1] > 0.99
    assert np.asarray(model.visualizer(batch)).shape == np.asarray(Image.open(path)).shape


def test_a_reader_of_loaders_can_be_handed_to_other_processes():
    assert isinstance(pickle.loads(pickle.dumps(LoaderReader(None, print))), LoaderReader)
