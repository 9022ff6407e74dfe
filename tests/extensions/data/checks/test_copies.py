"""An image is known by its pixels, in whatever file it lies; and nearly the same one is told."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extensions import ContaminatedFolder, Folder, MVTecAD
from extensions.data import DatasetError, fingerprint
from extensions.data.checks.copies import contents_of
from extensions.data.checks.inspection import inspect_files
from extensions.data.errors import Kind
from extensions.data.reading.descriptors import describe_image, near_pairs

MakeImage = Callable[..., Path]


def save_as(source: Path, target: Path, **options: object) -> Path:
    Image.open(source).save(target, **options)  # type: ignore[arg-type]
    return target


def test_the_same_pixels_in_other_files_are_one_content(tmp_path: Path, image: MakeImage) -> None:
    png = image(tmp_path / "a.png")
    grey = tmp_path / "grey.png"
    Image.open(png).convert("L").save(grey)
    paths = [
        png,
        save_as(png, tmp_path / "a.bmp"),
        save_as(png, tmp_path / "a.tif"),
        save_as(png, tmp_path / "a.webp", lossless=True),
        grey,
        tmp_path / "grey_rgb.png",
        image(tmp_path / "other.png"),
    ]
    Image.open(grey).convert("RGB").save(tmp_path / "grey_rgb.png")
    names = [str(path) for path in paths]
    facts = inspect_files(names)
    contents = contents_of(names, facts)
    assert contents[0] == contents[1] == contents[2] == contents[3]
    assert contents[4] == contents[5]
    assert len({contents[0], contents[4], contents[6]}) == 3
    assert contents[6] == facts[names[6]].sha256, "what stands alone keeps its hash, so splits stay"


def test_a_training_image_saved_again_is_found_in_the_test_set(product: Path) -> None:
    for index in range(3):
        save_as(product / "good" / f"{index:03d}.png", product / "good_test" / f"copy{index}.bmp")
    save_as(product / "good_test" / "000.png", product / "bad" / "dent" / "copy.tif")
    with pytest.raises(DatasetError) as caught:
        Folder("x", "good", root=product, abnormal_dir="bad", normal_test_dir="good_test").setup()
    assert {(p.kind, p.file) for p in caught.value.problems} == {
        *((Kind.IN_TRAIN_AND_TEST, f"good/{index:03d}.png = good_test/copy{index}.bmp") for index in range(3)),
        (Kind.TWO_LABELS, "bad/dent/copy.tif = good_test/000.png"),
    }


def test_the_held_out_part_takes_all_files_of_an_image(product: Path, caplog: pytest.LogCaptureFixture) -> None:
    for index in range(10):
        save_as(product / "good" / f"{index:03d}.png", product / "good" / f"{index:03d}.bmp")
    data = Folder("x", "good", root=product, test_split_ratio=0.5)
    data.setup()
    stems = [{Path(path).stem for path in part.samples["image_path"]} for part in (data.train_data, data.test_data)]
    assert [len(part) for part in stems] == [5, 5]
    assert not stems[0] & stems[1]
    assert f"{Kind.SAME_TWICE.value[0]} (10)" in caplog.text


def test_a_defect_saved_twice_is_not_injected_and_tested(product: Path, image: MakeImage) -> None:
    for kind in ("scratch", "dent"):
        for index in range(6):
            path = image(product / "bad" / kind / f"{index:03d}.png")
            save_as(path, path.with_suffix(".bmp"))
    data = ContaminatedFolder(
        "x", "good", root=product, abnormal_dir="bad", normal_test_dir="good_test", contamination_ratio=0.2,
        largest_ratio=0.3,
    )  # fmt: skip
    data.setup()
    injected = {Path(path).with_suffix("") for path in data.injected}
    assert injected
    assert not injected & {Path(path).with_suffix("") for path in data.test_data.samples["image_path"]}


def test_names_in_records_still_go_by_the_bytes_of_files(product: Path) -> None:
    import hashlib

    save_as(product / "good" / "000.png", product / "good" / "copy.bmp")
    found = fingerprint(Folder("x", "good", root=product, test_split_ratio=0)).files.set_index("image")["sha256"]
    for name in ("good/000.png", "good/copy.bmp"):
        assert found[name] == hashlib.sha256((product / name).read_bytes()).hexdigest()


def alike(seed: int, size: int = 192) -> np.ndarray:
    """Images of one product: the same shape under the same light, with texture of its own each, and noise."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[:size, :size]
    part = 150.0 * ((ys - size / 2) ** 2 + (xs - size / 2) ** 2 < (size / 3) ** 2) + 40
    coarse = Image.fromarray(rng.normal(0, 6, (12, 12)).astype(np.float32)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    return (part + np.asarray(coarse) + rng.normal(0, 3, (size, size))).clip(0, 255).astype(np.uint8)


def changed(image: Image.Image) -> dict[str, Image.Image]:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return {
        "half": image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC),
        "twice": image.resize((image.width * 2, image.height * 2), Image.Resampling.LANCZOS),
        "jpeg": Image.open(buffer).copy(),
        "darker": image.point(lambda value: value * 0.8),
        "color": image.convert("RGB"),
    }


def test_images_that_look_alike_are_no_copies_but_changed_ones_are() -> None:
    images = [Image.fromarray(alike(seed)) for seed in range(40)]
    descriptors = [describe_image(image) for image in images]
    groups = [0] * 20 + [1] * 20
    assert near_pairs(descriptors, groups) == []
    copies = changed(images[7])
    found = near_pairs([*descriptors, *map(describe_image, copies.values())], [*groups, *[1] * len(copies)])
    assert found == [(7, 40 + index) for index in range(len(copies))]


def test_pairs_are_those_of_a_slow_search() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 4080, (60, 256))
    rows[50] = rows[3] + 5
    rows[55] = rows[4] + rng.integers(-30, 30, 256)
    z = [(row - row.mean()) / row.std() for row in rows.astype(float)]
    distance = np.array([[np.sqrt(((a - b) ** 2).mean()) for b in z] for a in z])
    typical = np.median(np.sort(distance, axis=1)[:, 4])
    expected = [(i, j) for j in range(30, 60) for i in range(30) if distance[i, j] < 0.1 * typical]
    assert near_pairs([row.astype(np.uint16).reshape(16, 16) for row in rows], [0] * 30 + [1] * 30) == expected
    assert expected == [(3, 50), (4, 55)]


def test_images_that_show_nothing_are_not_compared() -> None:
    descriptors = [np.full((16, 16), 16 * value, np.uint16) for value in range(10)]
    assert near_pairs(descriptors, [0] * 5 + [1] * 5) == []


@pytest.fixture
def lookalikes(tmp_path: Path) -> Path:
    """train/good (20), test/good (6) and test/broken (6) of one product."""
    for index, folder in enumerate(["train/good"] * 20 + ["test/good"] * 6 + ["test/broken"] * 6):
        (tmp_path / "cap" / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(alike(index)).save(tmp_path / "cap" / folder / f"{index:03d}.png")
    return tmp_path


def test_near_copies_in_the_test_set_are_told_by_pairs(lookalikes: Path, caplog: pytest.LogCaptureFixture) -> None:
    MVTecAD(root=lookalikes, category="cap").setup()
    assert caplog.records == []
    cap = lookalikes / "cap"
    image = Image.open(cap / "train/good/003.png")
    image.resize((96, 96)).save(cap / "test/good/small.jpg", quality=75)
    Image.open(cap / "test/good/021.png").save(cap / "test/broken/other.jpg", quality=75)
    with caplog.at_level(logging.WARNING):
        MVTecAD(root=lookalikes, category="cap").setup()
    assert f"{Kind.NEAR_COPY.value[0]} (1): cap/train/good/003.png ~ cap/test/good/small.jpg" in caplog.text
    assert f"{Kind.NEAR_LABELS.value[0]} (1): cap/test/good/021.png ~ cap/test/broken/other.jpg" in caplog.text


def test_near_copies_that_our_own_split_tears_apart_are_told(
    lookalikes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = lookalikes / "cap" / "train" / "good"
    for path in sorted(good.glob("*.png")):
        save_as(path, path.with_suffix(".jpg"), quality=75)
    with caplog.at_level(logging.WARNING):
        Folder("x", good, test_split_ratio=0.5).setup()
        MVTecAD(root=lookalikes, category="cap", val_split_mode="from_train").setup()
    assert caplog.text.count(Kind.NEAR_COPY.value[0]) == 2
