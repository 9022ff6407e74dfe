"""Data sets of anomalib's own, read by our reader."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from anomalib.data import Folder, ImageItem, PredictDataset
from anomalib.data.utils.synthetic import SyntheticAnomalyDataset
from PIL import Image
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from extensions.data.datamodules.stock_datasets import read_as_ours
from extensions.data.reading.image_files import read_image


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Images that anomalib's reader reads otherwise: 16 bits, hidden colors, turned."""
    folder = tmp_path / "odd"
    folder.mkdir()
    ramp = np.linspace(0, 65535, 24 * 32).reshape(24, 32)
    Image.fromarray(ramp.astype(np.uint16)).save(folder / "deep.png")
    hidden = np.full((24, 32, 4), 200, np.uint8)
    hidden[:12, :, 3] = 0
    Image.fromarray(hidden, "RGBA").save(folder / "hidden.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((ramp / 257).astype(np.uint8)).save(folder / "turned.png", exif=exif)
    return folder


def folder_of(root: Path, **init_args: object) -> Folder:
    datamodule = Folder(name="odd", root=root, normal_dir="odd", num_workers=0, **init_args)
    datamodule.setup()
    return datamodule


def test_images_to_predict_on_are_read_by_our_reader(odd):
    dataset = PredictDataset(odd)
    read = read_as_ours(dataset)
    for item, path in zip(read, sorted(odd.iterdir()), strict=True):
        np.testing.assert_array_equal((item.image * 255).round().permute(1, 2, 0).byte(), read_image(path))
        assert item.image_path == str(path)
    assert not torch.equal(dataset[0].image, read[0].image)  # anomalib's own is as it was
    batch = read.collate_fn([read[0], read[1]])
    assert batch.image.shape == (2, 3, 24, 32)


def test_a_split_of_anomalibs_datamodule_is_read_by_our_reader(odd):
    split = folder_of(odd.parent, val_split_mode="none", test_split_mode="none").train_data
    read = read_as_ours(split)
    assert (len(read), read.task, read.name, read.samples is split.samples) == (
        len(split),
        split.task,
        split.name,
        True,
    )
    for item in pickle.loads(pickle.dumps(read)):  # as for processes that read
        expected = read_image(item.image_path)
        np.testing.assert_array_equal((item.image * 255).round().permute(1, 2, 0).byte(), expected)
        assert int(item.gt_label) == 0
    assert type(split[0]) is ImageItem
    assert read_as_ours(read) is not split


def test_parts_and_chains_of_data_sets_are_read_by_our_reader(odd):
    dataset = PredictDataset(odd)
    expected = read_as_ours(dataset)[2].image
    assert torch.equal(read_as_ours(Subset(dataset, [2]))[0].image, expected)
    assert torch.equal(read_as_ours(ConcatDataset([dataset, dataset]))[5].image, expected)


def test_data_sets_that_read_no_files_or_read_them_their_own_way_are_left(odd):
    class Own(PredictDataset):
        def __getitem__(self, index: int) -> ImageItem:
            return ImageItem(image=torch.zeros(3, 4, 4))

    for dataset in (TensorDataset(torch.zeros(2, 3)), Own(odd)):
        assert read_as_ours(dataset) is dataset


def test_files_that_cannot_be_read_are_one_sentence_before_the_work(odd):
    (odd / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"1 of 4 images cannot be read, such as .*broken\.png \(not an image"):
        read_as_ours(PredictDataset(odd))


def test_low_files_are_told_once(odd, caplog):
    Image.fromarray(np.full((9, 9), 4000, np.uint16)).save(odd / "low.png")
    for _ in range(2):
        read_as_ours(PredictDataset(odd))
    told = [record.message for record in caplog.records if "lowest sixteenth" in record.message]
    assert len(told) == 1
    assert told[0].startswith("1 of 4 images")
    assert "low.png (largest value 4000 of 65535: 12 bits stored in 16)" in told[0]


def test_files_that_anomalib_leaves_out_of_a_folder_are_told(odd, caplog):
    Image.new("RGB", (9, 9)).save(odd / "a.jfif", "JPEG")
    (odd / "notes.txt").write_text("no image")
    read_as_ours(PredictDataset(odd))
    (told,) = [record.message for record in caplog.records if "left out" in record.message]
    assert told.startswith("1 image files are left out")
    assert "a.jfif: anomalib's PredictDataset does not know .jfif; rename them" in told


def test_defects_drawn_on_what_anomalib_misreads_are_refused(odd, tmp_path, monkeypatch):
    monkeypatch.setattr("anomalib.data.utils.synthetic.ROOT", tmp_path / "drawn")
    source = folder_of(odd.parent, val_split_mode="none", test_split_mode="none").train_data
    with pytest.raises(ValueError, match=r"deep\.png and 2 more images: 16 bits, transparency.*extensions\.Folder"):
        read_as_ours(SyntheticAnomalyDataset.from_dataset(source))
    for path in odd.iterdir():
        Image.new("RGB", (32, 32)).save(path)
    assert len(read_as_ours(SyntheticAnomalyDataset.from_dataset(source))) == 3


def test_anomalibs_own_ways_to_read_are_refused_where_they_differ(odd):
    from anomalib.data import MVTecLOCO  # noqa: F401
    from anomalib.data.datasets.image.mvtec_loco import MVTecLOCODataset

    split = folder_of(odd.parent, val_split_mode="none", test_split_mode="none").train_data
    loco = MVTecLOCODataset.__new__(MVTecLOCODataset)
    vars(loco).update(vars(split))
    with pytest.raises(ValueError, match=r"deep\.png and 2 more images: .*reads it without heeding"):
        read_as_ours(loco)
    for path in odd.iterdir():
        Image.new("RGB", (32, 32)).save(path)
    assert read_as_ours(loco) is loco
