"""Regions of interest from masks, polygons and the foreground, and what is wrong with them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import extensions
from extensions.data.datamodules.region_files import read_area, read_region, without_border
from extensions.data.errors import DatasetError
from extensions.data.regions.foreground import find_foreground, otsu
from extensions.data.regions.region import Region

SIZE = (48, 64)  # height and width


def save_mask(path: Path, mask: np.ndarray) -> Path:
    Image.fromarray((mask > 0).astype(np.uint8) * 255).save(path)
    return path


def region(folder: Path, roi=None, ignore=None, border: int = 0) -> Region:
    return read_region(roi, ignore, border=border, folder=folder, size=SIZE)


@pytest.fixture
def box() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[8:40, 10:50] = True
    return mask


def test_polygons_mark_what_a_mask_of_the_same_corners_does(tmp_path, box):
    (tmp_path / "roi.yaml").write_text("polygons:\n- [[10, 8], [49, 8], [49, 39], [10, 39]]\n")
    save_mask(tmp_path / "roi.png", box)
    assert np.array_equal(region(tmp_path, "roi.yaml").mask, box)
    assert region(tmp_path, "roi.yaml") == region(tmp_path, "roi.png")
    assert region(tmp_path, "roi.png") != region(tmp_path, "roi.png", border=1)


def test_what_is_ignored_is_taken_off_and_so_is_the_border(tmp_path, box):
    save_mask(tmp_path / "roi.png", box)
    hole = np.zeros(SIZE, bool)
    hole[20:24, 20:24] = True
    save_mask(tmp_path / "ignore.png", hole)
    assert np.array_equal(region(tmp_path, "roi.png", "ignore.png").mask, box & ~hole)
    assert np.array_equal(region(tmp_path, None, "ignore.png").mask, ~hole)
    inner = np.zeros(SIZE, bool)
    inner[11:37, 13:47] = True
    assert np.array_equal(region(tmp_path, "roi.png", border=3).mask, inner)
    rim = np.zeros(SIZE, bool)
    rim[2:-2, 2:-2] = True
    assert np.array_equal(region(tmp_path, border=2).mask, rim)


def test_a_border_is_the_distance_to_the_nearest_pixel_outside(box):
    inside = without_border(box, 4)
    rows, columns = np.nonzero(~np.pad(box, 1))
    for row, column in ((12, 14), (11, 14), (12, 13), (35, 45), (36, 45)):
        nearest = np.maximum(abs(rows - 1 - row), abs(columns - 1 - column)).min()
        assert inside[row, column] == (nearest > 4)


def test_a_region_survives_being_stored(box):
    one = Region(box, foreground=True, border=3)
    again = Region.of(one.stored())
    assert again == one
    assert hash(again) == hash(one)
    assert Region(None, foreground=True) != one


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("polygons: []\n", "found no polygon in polygons; expected polygons: "),
        ("points: [[1, 2]]\n", "found points; expected polygons: "),
        ("polygons:\n- [[1, 2], [3, 4]]\n", r"polygon 1 is \[\[1, 2\], \[3, 4\]\]; expected at least 3 corners"),
        ("polygons:\n- []\n", r"polygon 1 is \[\]; expected at least 3 corners"),
        ("polygons:\n- [[1, 2], [3, x], [5, 6]]\n", "polygon 1 is .*; expected at least 3 corners"),
        (
            "polygons:\n- [[1, 2], [3, 4], [70, 6]]\n",
            r"polygon 1 has the corner \[70, 6\], outside of the images of 64",
        ),
    ],
)
def test_polygons_that_cannot_be_are_named(tmp_path, text, sentence):
    (tmp_path / "roi.yaml").write_text(text)
    with pytest.raises(DatasetError, match=sentence):
        region(tmp_path, "roi.yaml")


def test_masks_that_cannot_be_are_named(tmp_path, box):
    save_mask(tmp_path / "small.png", box[:10])
    with pytest.raises(DatasetError, match=r"small.png: the mask has 64 x 10 px, but the images have 64 x 48"):
        region(tmp_path, "small.png")
    save_mask(tmp_path / "empty.png", box & ~box)
    with pytest.raises(DatasetError, match=r"empty.png: this marks no pixel"):
        region(tmp_path, "empty.png")
    (tmp_path / "notes.txt").write_text("mask")
    with pytest.raises(DatasetError, match=r"notes.txt.*roi and ignore take a mask image, a .yaml with polygons"):
        region(tmp_path, "notes.txt")
    with pytest.raises(FileNotFoundError, match=r"gone.png: there is no such file; roi and ignore take"):
        region(tmp_path, "gone.png")
    save_mask(tmp_path / "all.png", np.ones(SIZE, bool))
    with pytest.raises(DatasetError, match=r"all.png leaves no pixel of 64 x 48 px"):
        region(tmp_path, None, "all.png")
    with pytest.raises(DatasetError, match="a border of 24 px leaves no pixel"):
        region(tmp_path, border=24)


def images(n: int = 2, background: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Even backgrounds with a bright block and a dark hole in it, (n, 3, 64, 64), and where the block is."""
    generator = torch.Generator().manual_seed(0)
    made = torch.full((n, 3, 64, 64), background) + 0.05 * torch.randn(n, 3, 64, 64, generator=generator)
    block = torch.zeros(n, 1, 64, 64)
    for index in range(n):
        block[index, :, 15 : 45 + index, 20:50] = 1
    made = torch.where(block > 0, made + 1.5, made)
    made[:, :, 26:34, 30:38] = background
    return made, block


@pytest.mark.parametrize("background", [-1.0, 0.0, 1.0])
def test_the_foreground_is_the_product_with_its_holes(background):
    made, block = images(background=background)
    found = find_foreground(made)
    assert ((found > 0) == (block > 0)).float().mean() > 0.97
    assert (found[:, :, 26:34, 30:38] == 1).all()
    assert find_foreground(made, border=2).sum() < found.sum()


def test_images_without_an_even_rim_are_foreground_as_a_whole():
    noise = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2
    assert (find_foreground(noise) == 1).all()
    assert (find_foreground(torch.zeros(1, 3, 64, 64)) == 1).all()


def test_an_image_has_the_same_foreground_alone_and_in_a_batch():
    made, _ = images(3)
    assert torch.equal(find_foreground(made)[1:2], find_foreground(made[1:2]))


def test_otsu_parts_values_as_scikit_image_does():
    from skimage.filters import threshold_otsu

    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(1, 0.2, 900), rng.normal(3, 0.3, 300)]).astype(np.float32)
    expected = values > threshold_otsu(values, nbins=64)
    assert (expected == (torch.from_numpy(values) > otsu(torch.from_numpy(values)[None])).numpy()).mean() > 0.995


def data(root: Path, **init_args: object) -> extensions.Folder:
    folders = {
        "normal_dir": "train/good",
        "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad",
        "mask_dir": "mask/bad",
    }
    return extensions.Folder("tiny", root=root, **(folders | init_args))


@pytest.fixture
def root(tiny_root, tmp_path) -> Path:
    import shutil

    shutil.copytree(tiny_root, tmp_path / "tiny")
    mask = np.zeros((64, 64), bool)
    mask[:32] = True
    save_mask(tmp_path / "tiny/roi.png", mask)
    return tmp_path / "tiny"


def test_a_region_changes_what_a_data_set_is_known_by_and_its_content_does(root):
    from extensions.data import fingerprint

    plain, one = fingerprint(data(root)).sha256, fingerprint(data(root, roi="roi.png")).sha256
    mask = np.zeros((64, 64), bool)
    mask[:31] = True
    save_mask(root / "roi.png", mask)
    assert len({plain, one, fingerprint(data(root, roi="roi.png")).sha256}) == 3


def test_images_of_several_sizes_have_no_common_region(root):
    path = root / "test/good/000.png"
    Image.open(path).resize((60, 64)).save(path)
    with pytest.raises(
        DatasetError, match=r"for images of one size, but .* has 64 x 64 px and test/good/000.png 60 x 64"
    ):
        data(root, roi="roi.png").setup()
    data(root, roi="foreground").setup()


def test_a_defect_outside_is_told(root, caplog):
    save_mask(root / "mask/bad/001.png", np.eye(64, dtype=bool) & (np.arange(64) > 40))
    data(root, roi="roi.png").setup()
    assert "defect that lies outside of the region of interest" in caplog.text
    assert "test/bad/001.png" in caplog.text


@pytest.mark.parametrize(
    ("given", "sentence"),
    [({"border": -1}, "border is -1"), ({"border": 1.5}, "border"), ({"border": True}, "border")],
)
def test_a_border_is_a_number_of_px(root, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        data(root, **given)


def test_the_foreground_cannot_be_ignored(root):
    with pytest.raises(DatasetError, match="ignore is foreground; expected a mask image"):
        data(root, ignore="foreground").setup()


def test_drawn_defects_lie_inside(root):
    drawn = data(root, roi="roi.png", test_split_mode="synthetic")
    drawn.setup()
    samples = drawn.test_data.samples
    masks = [read_area(Path(path), size=(64, 64)) for path in samples["mask_path"] if path]
    assert len(masks) == 2
    assert all(mask[:32].any() and not mask[32:].any() for mask in masks)
    for path, source in zip(samples["image_path"][samples["mask_path"] != ""], range(2), strict=True):
        del source
        assert Path(path).is_file()


def test_products_of_different_regions_do_not_train_together(root):
    parts = [
        {"class_path": "extensions.Folder", "init_args": {"name": name, "root": str(root), "normal_dir": good, **more}}
        for name, good, more in (("a", "train/good", {"roi": "roi.png"}), ("b", "test/good", {}))
    ]
    with pytest.raises(DatasetError, match="looked at in different ways"):
        extensions.Products(parts, name="both").setup()


def test_a_sheet_hatches_what_lies_outside(root):
    from extensions.data.contact_sheet import contact_sheet

    one = data(root, roi="roi.png")
    one.setup()
    samples = one.test_data.samples[:1]
    plain, shown = contact_sheet(samples), contact_sheet(samples, one.imaging)
    differs = (plain != shown).any(axis=2)
    assert differs[16 + 112 : 16 + 224, 228:452].mean() > 0.8
    assert not differs[: 16 + 112].any()
