"""Data sets with `range` and `channels`: what is found, checked and read."""

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from extensions import Folder, MVTecAD
from extensions.configuration import instantiate_data
from extensions.data.channels import Channels
from extensions.data.checks.fingerprints import fingerprint
from extensions.data.contact_sheet import contact_sheet
from extensions.data.errors import DatasetError, Kind
from extensions.data.value_range import ValueRange

ENDS = ["_rgb.png", "_nir.png"]
PLACES = ("train/good", "test/good", "test/dent")


def counts(seed, *, side=32, low=1100, high=1300, shape=()):
    return np.random.default_rng(seed).integers(low, high, (side, side, *shape)).astype(np.uint16)


def write_grey(root, **settings):
    for folder, n in (("good", 8), ("bad", 3)):
        (root / folder).mkdir(parents=True)
        for index in range(n):
            Image.fromarray(counts([index, n], **settings)).save(root / folder / f"{index}.png")
    return root


def write_pairs(root):
    for folder, n in (("good", 8), ("bad", 3)):
        (root / folder).mkdir(parents=True)
        for index in range(n):
            write_pair(root / folder, index, seed=n)
    return root


def write_pair(folder, index, *, seed=0):
    rgb = counts([index, seed], low=0, high=255, shape=(3,)).astype(np.uint8)
    (folder / f"{index}_rgb.png").write_bytes(imagecodecs.png_encode(rgb))
    Image.fromarray(counts([index, seed, 1])).save(folder / f"{index}_nir.png")


def folder(root, **settings):
    return Folder("x", "good", root=root, abnormal_dir="bad", num_workers=0, **settings)


def kinds_of(datamodule):
    with pytest.raises(DatasetError) as raised:
        datamodule.setup()
    return {problem.kind for problem in raised.value.problems}, str(raised.value)


def test_an_image_is_its_counts_over_the_range(tmp_path):
    data = folder(write_grey(tmp_path), range=[1000, 1400])
    data.setup()
    assert data.imaging.range == ValueRange((1000.0,), (1400.0,))
    item = data.train_data[0]
    values = np.asarray(Image.open(item.image_path)).astype(np.float32)
    assert item.image.shape == (3, 32, 32)
    np.testing.assert_allclose(item.image[0], (values - 1000) / 400, atol=1e-6)
    assert len(np.unique(item.image[0])) > 150  # of 200 counts; 8 bits of the full range have one


def test_what_files_hold_is_known_to_later_processes(tmp_path, monkeypatch):
    from extensions.data.checks import value_checks

    root = write_pairs(tmp_path)
    before = value_checks.read_all([str(root / "good" / "1_rgb.png")], ENDS, title="x")
    value_checks._known.clear()
    monkeypatch.setattr(value_checks, "read_counts", None)
    assert value_checks.read_all([str(root / "good" / "1_rgb.png")], ENDS, title="x") == before


def test_a_config_gives_range_and_channels(tmp_path):
    init_args = {"name": "x", "normal_dir": "good", "abnormal_dir": "bad", "root": str(write_pairs(tmp_path))}
    init_args |= {"channels": ENDS, "range": [[0, 255], [0, 255], [0, 255], [1000, 1400.5]]}
    data = instantiate_data({"class_path": "extensions.Folder", "init_args": init_args})
    data.setup()
    assert data.imaging.range.highs == (255.0, 255.0, 255.0, 1400.5)
    assert data.imaging.channels == Channels(4, tuple(ENDS))


def test_auto_is_found_on_the_good_training_images_without_hot_pixels(tmp_path):
    root = write_grey(tmp_path, side=128)
    for path in (root / "good").iterdir():
        values = np.array(Image.open(path))
        values[0, 0] = 4095
        Image.fromarray(values).save(path)
    data = folder(root, range="auto")
    data.setup()
    (low,), (high,) = data.imaging.range.lows, data.imaging.range.highs
    assert 1070 < low < 1100
    assert 1300 <= high < 1330


def test_16_bits_without_a_range_are_read_as_ever(tmp_path):
    data = folder(write_grey(tmp_path, low=0, high=65535))
    data.setup()
    values = np.asarray(Image.open(data.train_data.samples["image_path"][0])).astype(np.float32)
    assert data.imaging.is_plain
    np.testing.assert_allclose(data.train_data[0].image[0] * 255, np.rint(values * (255 / 65535)), atol=1e-4)


def test_low_values_without_a_range_are_told_to_name_one(tmp_path, caplog):
    folder(write_grey(tmp_path)).setup()
    assert "name where their values lie by the argument range of the data set, such as range: [0, 4095]" in caplog.text


def test_files_of_an_image_are_one_image(tmp_path):
    data = folder(write_pairs(tmp_path), channels=ENDS, range=[[0, 255]] * 3 + [[1000, 1400]])
    data.setup()
    assert data.imaging.channels == Channels(4, tuple(ENDS))
    assert len(data.train_data) + len(data.test_data) == 11
    item = data.train_data[0]
    nir = np.asarray(Image.open(str(item.image_path).replace("_rgb", "_nir"))).astype(np.float32)
    np.testing.assert_allclose(item.image[3], (nir - 1000) / 400, atol=1e-6)
    batch = data.train_data.collate_fn([item, data.train_data[1]])
    assert batch.image.shape == (2, 4, 32, 32)
    assert contact_sheet(data.test_data.samples, data.imaging).shape[2] == 3


def test_masks_need_not_carry_the_end_of_the_first_file(tmp_path):
    root = write_pairs(tmp_path)
    (root / "mask").mkdir()
    for index in range(3):
        marks = np.zeros((32, 32), np.uint8)
        marks[4:9, 4:9] = 255
        Image.fromarray(marks).save(root / "mask" / f"{index}.png")
    data = folder(root, channels=ENDS, mask_dir="mask")
    data.setup()
    bad = data.test_data.samples.query("label_index == 1")
    assert (bad["mask_path"] != "").all()


def test_the_layout_of_mvtec_has_files_of_channels_too(tmp_path):
    for seed, place in enumerate(PLACES):
        (tmp_path / "cap" / place).mkdir(parents=True)
        for index in range(3):
            write_pair(tmp_path / "cap" / place, index, seed=seed)
    data = MVTecAD(tmp_path, "cap", channels=ENDS, num_workers=0)
    data.setup()
    assert (len(data.train_data), len(data.test_data)) == (3, 6)
    assert data.train_data[0].image.shape[0] == 4


def test_joined_categories_have_one_range_of_all(tmp_path):
    for name, low in (("cap", 1000), ("lid", 2000)):
        for seed, place in enumerate(PLACES):
            (tmp_path / name / place).mkdir(parents=True)
            for index in range(3):
                values = counts([index, low, seed], low=low, high=low + 500)
                Image.fromarray(values).save(tmp_path / name / place / f"{index}.png")
    data = MVTecAD(tmp_path, ["cap", "lid"], range="auto", num_workers=0)
    data.setup()
    assert data.imaging.range.lows[0] < 1000
    assert data.imaging.range.highs[0] > 2490
    assert data.train_data.imaging == data.imaging


def test_the_fingerprint_moves_with_every_file_of_an_image(tmp_path):
    root = write_pairs(tmp_path)
    before = fingerprint(folder(root, channels=ENDS)).sha256
    Image.fromarray(counts(99)).save(root / "good" / "0_nir.png")
    assert fingerprint(folder(root, channels=ENDS)).sha256 != before


def test_all_problems_of_channels_come_together(tmp_path):
    root = write_pairs(tmp_path)
    (root / "good" / "0_nir.png").unlink()
    Image.fromarray(counts(1, side=16)).save(root / "good" / "1_nir.png")
    (root / "good" / "2_rgb.png").unlink()
    (root / "good" / "3_nir.png").write_bytes(b"no image")
    rgb = counts(4, low=0, high=255, shape=(3,)).astype(np.uint8)
    Image.fromarray(rgb).save(root / "good" / "4_nir.png")
    found, text = kinds_of(folder(root, channels=ENDS))
    assert found == {Kind.NO_PARTNER, Kind.PARTNER_SIZE, Kind.NO_FIRST, Kind.UNREADABLE, Kind.OTHER_CHANNELS}
    assert "image that lacks a file of its channels (1): good/0_rgb.png (there is no 0_nir.png); add" in text
    assert "good/1_nir.png (16x16, good/1_rgb.png 32x32)" in text
    assert "good/2_nir.png (there is no 2_rgb.png)" in text
    assert "good/3_nir.png (not an image in any known format)" in text
    assert "good/4_rgb.png (it has 3 + 3, expected 3 + 1)" in text


def test_more_channels_than_are_said_are_told(tmp_path):
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        for index in range(5):
            np.save(tmp_path / name / f"{index}.npy", counts([index, len(name)], shape=(5,)))
    found, text = kinds_of(folder(tmp_path, channels=4))
    assert found == {Kind.OTHER_CHANNELS}
    assert "image of another number of channels than expected (10): bad/0.npy (it has 5, expected 4)" in text
    assert "correct channels of the data set" in text


@pytest.mark.parametrize("settings", [{}, {"range": [0, 4095]}])
def test_many_channels_of_which_nothing_is_said_are_told(tmp_path, settings):
    import tifffile

    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        for index in range(5):
            pixels = counts([index, len(name)], shape=(5,))
            tifffile.imwrite(tmp_path / name / f"{index}.tif", pixels, photometric="minisblack", planarconfig="contig")
    found, text = kinds_of(folder(tmp_path, **settings))
    assert found == {Kind.MANY_CHANNELS}
    assert "bad/0.tif (5 channels)" in text
    assert "say how many by the argument channels of the data set, such as channels: 5" in text


def test_npy_of_objects_is_named(tmp_path):
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        for index in range(5):
            np.save(tmp_path / name / f"{index}.npy", counts([index, len(name)], shape=(2,)))
    np.save(tmp_path / "good" / "0.npy", np.array([[{}]], object), allow_pickle=True)
    found, text = kinds_of(folder(tmp_path, channels=2))
    assert found == {Kind.UNREADABLE}
    assert "good/0.npy (it holds pickled objects, which are not loaded" in text


def test_a_range_beyond_the_bits_is_told(tmp_path):
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        for index in range(5):
            values = counts([index, len(name)], low=0, high=255).astype(np.uint8)
            Image.fromarray(values).save(tmp_path / name / f"{index}.png")
    found, text = kinds_of(folder(tmp_path, range=[0, 4095]))
    assert found == {Kind.BEYOND_BITS}
    assert "image whose bits cannot hold the range of the data set (10): bad/0.png (8 bits, range 0 to 4095)" in text
    found, _ = kinds_of(folder(write_grey(tmp_path / "deep"), range=[0, 70000]))
    assert found == {Kind.BEYOND_BITS}


def test_images_of_which_more_than_1_percent_is_clipped_are_warned_of(tmp_path, caplog):
    folder(write_grey(tmp_path), range=[1100, 1250]).setup()
    assert "image with more than 1 % of its values outside of the range, all of which become 0 or 1 (11)" in caplog.text
    assert "bad/0.png (2" in caplog.text
    caplog.clear()
    folder(tmp_path, range=[1100, 1299]).setup()
    assert "outside of the range" not in caplog.text


def test_another_number_of_ranges_than_channels_is_told(tmp_path):
    with pytest.raises(DatasetError, match="range of data set 'x' has 2 pairs, but its images have 4 channels"):
        folder(write_pairs(tmp_path), channels=ENDS, range=[[0, 255], [0, 4095]]).setup()


def test_defects_to_be_drawn_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"has range or channels, and images that are to be drawn, .* 8 bits of RGB"):
        folder(write_grey(tmp_path), range=[1000, 1400], val_split_mode="synthetic").setup()
