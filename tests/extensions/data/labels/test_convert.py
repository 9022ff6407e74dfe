"""`check --convert`, as a user runs it: labels in, a folder of masks out that the data set reads."""

from __future__ import annotations

import base64
import errno
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from extensions import Folder, MVTecAD
from extensions.data.__main__ import main

Run = Callable[..., str]
Write = Callable[..., Path]

POLYGON = [8, 8, 20, 8, 20, 16, 8, 16]  # x and y px
IN_BAD = ["scratch/000.png", "scratch/001.png", "scratch/002.png", "dent/000.png", "dent/001.png"]


def square(*, with_border: bool = False) -> np.ndarray:
    """What `POLYGON` marks in an image of 64x64."""
    marks = np.zeros((64, 64), np.uint8)
    marks[8 : 16 + with_border, 8 : 20 + with_border] = 1
    return marks


def shape(label: str, points: list[list[float]], shape_type: str = "polygon", **more: object) -> dict[str, object]:
    return {"label": label, "points": points, "shape_type": shape_type, "group_id": None, **more}


SHAPE = shape("dent", [[8, 8], [20, 8], [20, 16], [8, 16]])


@pytest.fixture
def convert(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command; what it says, and after an error what it says and that nothing was written."""

    def run(*given: Path, more: list[str] | None = None, is_error: bool = False, output: str | None = "masks") -> str:
        where = ["--output", str(tmp_path / output)] if output else []
        there = everything(tmp_path)
        code = main(["check", "--config", str(config), "--convert", *map(str, given), *where, *(more or [])])
        said = capsys.readouterr()
        assert code == int(is_error), said.err
        if is_error:
            assert everything(tmp_path) == there
        return said.err if is_error else said.out

    return run


def everything(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if "cache" not in path.parts)


def has(said: str, name: str, value: str) -> bool:
    """Whether a line of the counts begins so."""
    return f"  {name:28}{value}" in said


def read(path: Path) -> np.ndarray:
    """Zeros and ones; the file holds 0 and 255."""
    pixels = np.asarray(Image.open(path))
    assert set(np.unique(pixels)) <= {0, 255}
    return pixels // 255


def test_coco_labels_become_masks_that_a_folder_reads(convert: Run, coco: Write, tmp_path: Path, product: Path) -> None:
    marks = np.zeros((64, 64), np.uint8)
    marks[30:50, 3:9] = 1
    code = coco_mask.encode(np.asfortranarray(marks))
    compressed = {"size": [64, 64], "counts": code["counts"].decode()}
    plain = {"size": [64, 64], "counts": [3 * 64 + 30, *[20, 44] * 5, 20, 64 * 64 - 8 * 64 - 50]}
    images: dict[str, list[tuple[str, object]]] = {name: [("dent", [POLYGON])] for name in IN_BAD}
    images["scratch/001.png"] = [("dent", compressed)]
    images["scratch/002.png"] = [("dent", plain), ("scratch", [POLYGON])]
    said = convert(coco({**images, "good/000.png": []}), output="product/masks")
    assert has(said, "instances", "6: dent 5, scratch 1")
    assert has(said, "images without a shape", "1: good, they get no mask")
    last = said.splitlines()[-1]
    assert last.startswith(f"5 masks of 6 instances in {product / 'masks'}; put `mask_dir: masks` under init_args")
    assert "check --config" in last
    data = Folder(
        "product", normal_dir="good", abnormal_dir="bad", mask_dir="masks", root=product, num_workers=0, seed=1
    )
    data.setup()
    found = {}
    for item in data.test_data:
        path = Path(item.image_path)
        if path.is_relative_to(product / "bad"):
            found[path.relative_to(product / "bad").as_posix()] = item.gt_mask.numpy().astype(np.uint8)
    expected = {name: square() for name in IN_BAD}
    expected |= {"scratch/001.png": marks, "scratch/002.png": marks | square()}
    assert found.keys() == expected.keys()
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask)


def test_labelme_beside_its_images_becomes_masks(convert: Run, labelme: Write, tmp_path: Path, product: Path) -> None:
    content = BytesIO()
    Image.fromarray(np.eye(5, dtype=bool)).save(content, format="PNG")
    pixels = shape("scratch", [[10, 40], [14, 44]], "mask", mask=base64.b64encode(content.getvalue()).decode())
    rectangle = shape("dent", [[20, 16], [8, 8]], "rectangle")
    labelme(product / "bad/scratch/000.json", SHAPE)
    labelme(product / "bad/scratch/001.json", pixels)
    labelme(product / "bad/scratch/002.json", rectangle, imagePath="..\\scratch\\002.png")
    labelme(product / "bad/dent/000.json", shape("dent", [[30, 30], [36, 30]], "circle"))
    labelme(product / "bad/dent/001.json", {**SHAPE, "group_id": 1}, {**SHAPE, "group_id": 1}, SHAPE)
    labelme(product / "good/000.json")
    said = convert(product / "bad", product / "good")
    assert has(said, "instances", "6: dent 5, scratch 1")
    assert has(said, "labeled images", "6")
    masks = tmp_path / "masks"
    np.testing.assert_array_equal(read(masks / "scratch/000_mask.png"), square(with_border=True))
    np.testing.assert_array_equal(read(masks / "scratch/001_mask.png")[40:45, 10:15], np.eye(5))
    np.testing.assert_array_equal(read(masks / "scratch/002_mask.png"), square(with_border=True))
    assert read(masks / "dent/000_mask.png").sum() == pytest.approx(np.pi * 6.5**2, rel=0.05)
    Folder(
        "x", normal_dir="good", abnormal_dir="bad", mask_dir=masks, root=product, num_workers=0
    ).setup()  # every image is checked


def test_labelme_in_a_folder_of_its_own_goes_by_its_subfolders(convert: Run, labelme: Write, tmp_path: Path) -> None:
    labelme(tmp_path / "labels/scratch/000.json", SHAPE)
    labelme(tmp_path / "labels/dent/000.json", imagePath="D:\\pictures\\000.png")
    said = convert(tmp_path / "labels")
    assert [path.parent.name for path in (tmp_path / "masks").rglob("*.png")] == ["scratch"]
    assert has(said, "anomalous without a mask", "4: label them or move them: bad/dent/000.png, bad/dent/001.png, ")


def test_several_masks_of_an_image_are_joined(convert: Run, tmp_path: Path) -> None:
    def write(name: str, row: int) -> None:
        pixels = np.zeros((64, 64), np.uint8)
        pixels[row] = 200
        (tmp_path / "instances" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "instances" / name)

    names = ["000_mask_0.png", "000_mask_1.png", "001_1.png", "001_2_mask.png", "002/0.png", "002/any.png"]
    for row, name in enumerate(names):
        write(f"scratch/{name}", row)
    write("dent/000 (1).png", 10)
    write("dent/001.png", 11)
    said = convert(tmp_path / "instances")
    assert has(said, "instances", "8\n")
    rows = {
        path.relative_to(tmp_path / "masks").as_posix(): np.flatnonzero(read(path).any(axis=1)).tolist()
        for path in (tmp_path / "masks").rglob("*.png")
    }
    assert rows == {
        "scratch/000_mask.png": [0, 1],
        "scratch/001_mask.png": [2, 3],
        "scratch/002_mask.png": [4, 5],
        "dent/000_mask.png": [10],
        "dent/001_mask.png": [11],
    }


def test_labels_of_a_folder_per_defect_give_a_list(
    convert: Run, config: Path, coco: Write, product: Path, tmp_path: Path
) -> None:
    said = convert(
        coco({name: [("dent", [POLYGON])] for name in IN_BAD}),
        more=["--set", "data.init_args.abnormal_dir=[bad/scratch, bad/dent]"],
        output="product/masks",
    )
    assert "put `mask_dir: [masks/scratch, masks/dent]` under init_args" in said
    dirs = ["masks/scratch", "masks/dent"]
    Folder(
        "x", normal_dir="good", abnormal_dir=["bad/scratch", "bad/dent"], mask_dir=dirs, root=product, num_workers=0
    ).setup()


def test_masks_of_mvtecs_layout_go_where_it_reads_them(
    mvtec: Path, coco: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = mvtec / "bottle" / "ground_truth"
    truth.rename(tmp_path / "elsewhere")
    config = tmp_path / "mvtec.yaml"
    arguments = {"root": str(mvtec), "category": "bottle"}
    config.write_text(yaml.safe_dump({"data": {"class_path": "extensions.MVTecAD", "init_args": arguments}}))
    labels = coco({f"test/broken/{n:03d}.png": [("dent", [POLYGON])] for n in range(3)} | {"train/good/000.png": []})
    assert main(["check", "--config", str(config), "--convert", str(labels)]) == 0
    assert f"in {truth}; {config} reads them from there; next: " in capsys.readouterr().out.splitlines()[-1]
    assert sorted(path.name for path in (truth / "broken").iterdir()) == [f"{n:03d}_mask.png" for n in range(3)]
    MVTecAD(root=mvtec, category="bottle", num_workers=0).setup()
    assert main(["check", "--config", str(config), "--convert", str(labels)]) == 1
    assert "holds broken; expected a new or empty folder" in capsys.readouterr().err


def test_chosen_labels_alone_are_drawn_and_checked(convert: Run, coco: Write) -> None:
    labels = coco({"scratch/000.png": [("dent", [POLYGON]), ("dust", [])], "scratch/001.png": [("dust", [[1, 2]])]})
    said = convert(labels, more=["--labels", "dent", "scratch"])
    assert has(said, "instances", "1: dent 1")
    assert has(said, "left out, label not chosen", "2: dust 2")
    assert has(said, "left out, no chosen label", "1: images")
    assert has(said, "images without a shape", "0")


def test_what_is_left_out_is_told(convert: Run, coco: Write, config: Path, image: Write) -> None:
    image(config.parent / "product" / "limits" / "good" / "9.png")
    labels = coco(
        {
            "scratch/000.png": [("dent", [POLYGON]), ("dent", [[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]])],
            "limits/good/9.png": [],
            "gone.png": [],
        }
    )
    said = convert(labels, more=["--set", "data.init_args.calibration_dir=limits"])
    assert re.search(r"left out, marks no pixel +1: .*labels.json annotations\[1\]", said)
    assert has(said, "left out, not in the data", "1: images without a shape: gone.png")
    assert has(said, "left out, other folder", "1: images of calibration_dir")
    assert has(said, "instances", "1: dent 1")


def test_a_name_that_is_there_good_and_bad_is_the_bad_one(convert: Run, coco: Write, product: Path) -> None:
    (product / "bad/scratch/000.png").rename(product / "bad/000.png")
    (product / "bad/dent/000.png").unlink()
    assert "1 mask of 1 instance in" in convert(coco({"000.png": [("dent", [POLYGON])]}))


BAD = {
    "no segmentation": ([], r"label without an area \(1\): \S*labels.json annotations\[0\] \(no segmentation"),
    "two points": ([[1, 1, 2, 2]], r"polygon with fewer than 3 points \(1\): .*annotations\[0\] \(2 points\); draw"),
    "odd": ([[1, 1, 2, 2, 3, 3, 4]], r"a polygon has 7 numbers, expected pairs of x and y"),
    "text": ([["1", "2"]], r"not \[x, y, x, y, ...\] in finite numbers"),
    "outside": ([[1, 1, 90, 1, 90, 20]], r"shape outside of its image \(1\): .*x from 1 to 90 .* in an image of 64x64"),
    "size of runs": ({"size": [32, 64], "counts": [2048]}, r"64x32 for an image of 64x64\); export"),
    "runs": ({"size": [64, 64], "counts": [5, 6]}, r"run-length code that is corrupt \(1\): .*add up to 11 px"),
    "compressed runs": ({"size": [64, 64], "counts": "12~"}, r"corrupt \(1\): .*'~'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_label_that_cannot_be_drawn_is_one_line(name: str, convert: Run, coco: Write) -> None:
    segmentation, expected = BAD[name]
    said = convert(coco({"scratch/000.png": [("dent", segmentation)]}), is_error=True)
    assert re.search(expected, said), said
    assert said.count("\n") == 2


def test_all_problems_are_listed_together_and_nothing_is_written(
    convert: Run, coco: Write, labelme: Write, tmp_path: Path, product: Path
) -> None:
    folder = tmp_path / "labels"
    labelme(folder / "scratch/000.json", SHAPE)
    labelme(folder / "scratch/001.json", SHAPE, imageWidth=128)
    labelme(folder / "scratch/002.json", SHAPE, imagePath="003.png")
    labelme(folder / "dent/000.json", shape("dent", [[1, 1], [5, 5]], "line"), shape("dent", [[1, 1]], "circle"))
    labelme(folder / "dent/001.json", shape("dent", [[1, 1]], "star"), shape("x", [[1, 1], [2, 2]], "mask", mask="%"))
    labelme(folder / "good/000.json", SHAPE)
    (folder / "broken.json").write_text('{"shapes": [')
    (folder / "list.json").write_text("[1, 2]")
    (folder / "half.json").write_text('{"images": [], "annotations": []}')
    (product / "bad/dent/001.png").write_bytes(b"no image")
    said = convert(folder, is_error=True)
    for text in (
        "data set 'product' in",
        "label file that is not JSON (1): ",
        "broken.json (Expecting value: line 1 column 13",
        "neither labelme nor COCO (2): ",
        "half.json (of COCO's keys it lacks the lists categories)",
        "list.json (it holds a list)",
        "another size than its label file says (1): bad/scratch/001.png (64x64, ",
        "001.json says 128x64",
        "label of an image that is not there (1): scratch/003.png in ",
        "nearest: good/003.png",
        "a line); draw polygons",
        "1 points, expected 2",
        "mask that marks a defect on a normal image (1): good/000.png (1 labeled in ",
        "cannot be read as an image (1): bad/dent/001.png",
    ):
        assert text in said, f"{text}\n{said}"


def test_broken_shapes_of_labelme_say_why(convert: Run, labelme: Write, tmp_path: Path) -> None:
    content = BytesIO()
    Image.fromarray(np.eye(4, dtype=bool)).save(content, format="PNG")
    good = base64.b64encode(content.getvalue()).decode()
    labelme(
        tmp_path / "labels/scratch/000.json",
        shape("dent", [[1, 1]], "star"),
        {**SHAPE, "shape_type": ["polygon"]},
        shape("x", [[1, 1], [2, 2]], "mask", mask="%"),
        shape("x", [[1, 1], [2, 2]], "mask", mask=good[:40]),
        shape("x", [[1, 1], [2, 2]], "mask", mask=good),
        {"points": []},
    )
    said = convert(tmp_path / "labels", is_error=True)
    for text in (
        "shape_type 'star'; known: polygon, rectangle",
        "no base64",
        "its mask cannot be read",
        "its mask is 4x4, but its points give 2x2",
        "shapes[5] (no label)",
        "shape_type \"['polygon']\"; known",
    ):
        assert text in said, f"{text}\n{said}"


def test_two_images_of_one_stem_are_refused(convert: Run, coco: Write, image: Write, product: Path) -> None:
    image(product / "bad/scratch/000.jpg")
    said = convert(coco({"scratch/000.png": [("dent", [POLYGON])]}), is_error=True)
    expected = "bad/scratch/000.jpg and bad/scratch/000.png (both scratch/000_mask.png); give them different names"
    assert expected in said


def test_a_label_that_fits_several_images_is_refused(convert: Run, coco: Write) -> None:
    said = convert(coco({"000.png": [("dent", [POLYGON])]}), is_error=True)
    assert "label that fits several images (1): 000.png in " in said
    assert "fits bad/dent/000.png and bad/scratch/000.png); write the image's folder" in said


def test_another_folders_label_is_not_taken_for_an_image(convert: Run, coco: Write, product: Path) -> None:
    (product / "bad/dent/000.png").unlink()
    said = convert(coco({"dent/000.png": [("dent", [POLYGON])]}), is_error=True)
    assert "label of an image that is not there (1): dent/000.png" in said


def test_a_folder_that_the_data_set_does_not_know_is_passed_over(convert: Run, coco: Write) -> None:
    assert "1 mask of" in convert(coco({"images/default/scratch/002.png": [("dent", [POLYGON])]}))
    said = convert(coco({"a/002.png": [("dent", [POLYGON])], "b/002.png": []}), is_error=True, output="other")
    assert "not there (1): a/002.png" in said


def test_an_unknown_label_names_the_nearest(convert: Run, coco: Write) -> None:
    said = convert(coco({"scratch/000.png": [("dent", [POLYGON])]}), more=["--labels", "scrach"], is_error=True)
    assert "--labels: found 'scrach', which no label has; did you mean scratch? (known: dent, scratch)" in said
    assert said.count("\n") == 1


def test_masks_that_are_there_are_kept(convert: Run, coco: Write, tmp_path: Path) -> None:
    labels = coco({"scratch/000.png": [("dent", [POLYGON])]})
    convert(labels)
    mask = tmp_path / "masks/scratch/000_mask.png"
    mask.write_bytes(b"mine")
    assert convert(labels, is_error=True) == (
        f"error: --output: {tmp_path / 'masks'} holds scratch; expected a new or empty folder, for masks that are "
        "there are kept: give another one, or move them away\n"
    )
    assert mask.read_bytes() == b"mine"


def test_folders_of_masks_are_checked(convert: Run, image: Write, mask: Write, product: Path, tmp_path: Path) -> None:
    folder = tmp_path / "instances"
    mask(folder / "scratch/000_0.png", size=(32, 64))
    mask(folder / "scratch/004_0.png")
    mask(folder / "scratch/001_0.png")
    (folder / "scratch/002.png").write_bytes(b"x")
    said = convert(folder, is_error=True)
    assert "mask of another size than its image (1): " in said
    assert "32x64, its image 64x64" in said
    assert re.search(r"mask without an image \(1\): \S*scratch/004_0.png", said)
    assert re.search(r"cannot be read as an image \(1\): \S*scratch/002.png", said)
    assert "carry no labels to choose from" in convert(folder, more=["--labels", "dent"], is_error=True)
    assert "an image of the data set; put the masks into a folder" in convert(product / "bad", is_error=True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--convert", "gone.json"], "gone.json: not there; --convert takes a label file"),
        (["--convert", "empty"], "the folder holds neither JSON files nor masks"),
        (["--labels", "dent"], "--labels goes with --convert LABELS"),
        (["--output", "masks"], "--output goes with --convert LABELS"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str],
    expected: str,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    where = ["--output", "masks"] if "--convert" in arguments else []
    assert main(["check", "--config", str(config), *arguments, *where]) == 1
    assert expected in capsys.readouterr().err


def test_without_an_output_the_configs_own_folder_is_asked_for(
    convert: Run, coco: Write, product: Path, config: Path
) -> None:
    labels = coco({"scratch/000.png": [("dent", [POLYGON])]})
    assert f"needs --output FOLDER for the masks, as {config} names no mask_dir" in convert(
        labels, is_error=True, output=None
    )
    said = convert(labels, more=["--set", "data.init_args.mask_dir=masks"], output=None)
    assert f"in {product / 'masks'}; {config} reads them from there" in said


def test_labels_without_any_shape_write_nothing(convert: Run, coco: Write) -> None:
    said = convert(coco({"scratch/000.png": []}), is_error=True)
    assert "no shape to draw, so that no mask was written" in said
    assert has(said, "images without a shape", "1: good, they get no mask")


def test_a_write_that_fails_leaves_nothing(
    convert: Run, coco: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = coco({name: [("dent", [POLYGON])] for name in IN_BAD})
    write_bytes = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name == "002_mask.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert "no space left on device; make room there, or give another folder" in convert(labels, is_error=True)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("extensions.Elpv", "is of class extensions.Elpv; labels are converted for extensions.Folder and"),
        ({"class_path": "extensions.Folder", "init_args": {"name": "x", "normal_dir": "good"}}, "no anomalous images"),
        ({"class_path": "extensions.MVTecAD", "init_args": {"category": ["a", "b"]}}, "has 2 categories; labels are"),
        (
            [{"class_path": "extensions.Elpv"}, {"class_path": "extensions.ElpvSynthetic"}],
            "has 2 data sets; labels are converted for one",
        ),
    ],
)
def test_a_data_set_that_takes_no_masks_is_refused(
    data: object, expected: str, convert: Run, coco: Write, config: Path, product: Path
) -> None:
    if isinstance(data, dict) and data["class_path"] == "extensions.Folder":
        data["init_args"]["root"] = str(product)
    config.write_text(yaml.safe_dump({"data": data}))
    assert expected in convert(coco({"000.png": []}), is_error=True)


def test_label_files_are_joined_with_masks(convert: Run, coco: Write, mask: Write, tmp_path: Path) -> None:
    mask(tmp_path / "instances" / "scratch" / "000_0.png")
    one = coco({"scratch/000.png": [("dent", [POLYGON])]}, name="one.json")
    two = coco({"scratch/000.png": [("scratch", [[30, 30, 50, 30, 50, 50]])]}, name="two.json")
    assert has(convert(one, two, tmp_path / "instances"), "instances", "3: dent 1, scratch 1")
    marks = read(tmp_path / "masks/scratch/000_mask.png")
    assert marks[9, 9] == marks[20, 20] == marks[35, 48] == 1


def test_sizes_are_those_that_a_viewer_shows(convert: Run, labelme: Write, product: Path, tmp_path: Path) -> None:
    turned = Image.new("RGB", (64, 32))
    turned.putdata([(n % 256, n // 9 % 256, 7) for n in range(64 * 32)])
    exif = turned.getexif()
    exif[0x0112] = 6  # a quarter turn
    turned.save(product / "bad/scratch/000.png", exif=exif)
    labelme(product / "bad/scratch/000.json", SHAPE, imageWidth=32, imageHeight=64)
    convert(product / "bad/scratch/000.json")
    assert read(tmp_path / "masks/scratch/000_mask.png").shape == (64, 32)
