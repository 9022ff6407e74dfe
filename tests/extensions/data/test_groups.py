"""Which images are of one part, and what that changes in splits, draws and checks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from extensions import ContaminatedFolder, Folder, MVTecAD, Products
from extensions.data import DatasetError, DatasetMissingError, check_dataset, fingerprint
from extensions.data.errors import Kind
from extensions.data.groups import GROUP, joined_parts, parts_of

MakeImage = Callable[..., Path]
PATTERN = "p([0-9]+)_"


@pytest.fixture
def parts(tmp_path: Path, image: MakeImage) -> Path:
    """Twelve good parts of three images each, four bad ones of two."""
    root = tmp_path / "parts"
    seed = iter(range(1000))
    for part in range(12):
        for view in range(3):
            image(root / "good" / f"p{part}_{view}.png", seed=next(seed))
    for part in range(20, 24):
        for view in range(2):
            image(root / "bad" / ("dent" if part % 2 else "scratch") / f"p{part}_{view}.png", seed=next(seed))
    return root


def folder(root: Path, **options: object) -> Folder:
    arguments = {"name": "product", "abnormal_dir": "bad", "num_workers": 0, "group": PATTERN}
    return Folder(normal_dir="good", root=root, **(arguments | options))  # type: ignore[arg-type]


def groups(data: Folder, split: str) -> list[str]:
    data.setup()
    return getattr(data, f"{split}_data").samples[GROUP].tolist()


def test_the_parts_of_names_files_and_folders(tmp_path: Path) -> None:
    names = ["a/p1_0.png", "a/p1_1.png", "b/p2_0.png"]
    paths = [str(tmp_path / name) for name in names]
    table = tmp_path / "groups.csv"
    table.write_text("group,file\nleft,a/p1_0.png\nleft,./a/p1_1.png\nright,b\\p2_0.png\n", encoding="utf-8")

    def found(group: str | Path) -> list[str]:
        return parts_of(paths, names, group, folder=tmp_path, name="product")

    assert found(PATTERN) == ["1", "1", "2"]
    assert found("x(.)|p([0-9])") == ["1", "1", "2"]  # the first group that matches something
    assert found("folder") == ["a", "a", "b"]
    assert found("groups.csv") == found(table) == ["left", "left", "right"]
    elsewhere = tmp_path / "elsewhere" / "groups.csv"
    elsewhere.parent.mkdir()
    shutil.copy(table, elsewhere)
    assert found(elsewhere) == ["left", "left", "right"]  # by names as in records


def test_parts_with_an_image_in_common_are_one() -> None:
    contents = ["x", "y", "y", "z", "u", "v", "u"]
    assert joined_parts(contents, ["b", "b", "a", "a", "", "", ""]) == ["a", "a", "a", "a", "u", "v", "u"]


@pytest.mark.parametrize("split", ["test_split", "from_train", "from_test"])
def test_no_split_tears_a_part_apart(parts: Path, split: str) -> None:
    options = {} if split == "test_split" else {"val_split_mode": split, "val_split_ratio": 0.5}
    data = folder(parts, test_split_ratio=0.25, **options)
    found = {name: set(groups(data, name)) for name in ("train", "val", "test")}
    assert len(data.train_data) + len(data.test_data) + (split != "test_split") * len(data.val_data) == 36 + 8
    assert not found["train"] & found["test"]
    assert split == "test_split" or not found["val"] & (found["train"] | found["test"])
    assert all(found.values())


def test_without_parts_a_split_does_tear_them_apart(parts: Path) -> None:
    data = folder(parts, group=None, test_split_ratio=0.25)
    data.setup()
    assert GROUP not in data.train_data.samples
    train, test = ({Path(path).name.split("_")[0] for path in part.samples.image_path} for part in
                   (data.train_data, data.test_data))  # fmt: skip
    assert train & test


def test_k_shot_counts_parts_and_trains_all_of_their_images(parts: Path) -> None:
    few, more = (folder(parts, k_shot=k) for k in (2, 4))
    assert len(groups(few, "train")) == 6
    assert len(set(groups(few, "train"))) == 2
    assert set(groups(few, "train")) < set(groups(more, "train"))
    with pytest.raises(DatasetError, match="k_shot is 11, but data set 'product' has 10 parts among its training"):
        folder(parts, k_shot=11).setup()


def test_what_is_injected_takes_its_part_out_of_the_test_set(parts: Path) -> None:
    data = ContaminatedFolder(
        "product", "good", root=parts, abnormal_dir="bad", num_workers=0, group=PATTERN, contamination_ratio=0.05,
        largest_ratio=0.05, repeats=2, test_split_ratio=0.3,
    )  # fmt: skip
    data.setup()
    train, test = data.train_data.samples, data.test_data.samples
    injected = set(train.loc[train["injected"], GROUP])
    assert len(injected) == 1
    assert not injected & set(test[GROUP])
    assert (test["label_index"] == 1).sum() == 6


def test_known_defects_take_their_parts_out_of_the_test_set(tmp_path: Path, image: MakeImage, mask: MakeImage) -> None:
    root = tmp_path / "known"
    for part in range(4):
        image(root / "train/good" / f"p{part}_0.png", seed=part)
    image(root / "test/good/p30_9.png", seed=90)
    image(root / "test/good/p40_9.png", seed=91)
    for part in range(30, 33):
        for view in range(2):
            image(root / "test/dent" / f"p{part}_{view}.png", seed=100 + 10 * part + view)
            mask(root / "ground_truth/dent" / f"p{part}_{view}_mask.png")
    for seed in range(4):
        data = MVTecAD(root=root, category="", known_defects=1, group=PATTERN, num_workers=0, seed=seed)
        data.setup()
        train, test = data.train_data.samples, data.test_data.samples
        known = set(train.loc[train["known"], GROUP])
        assert len(known) == 1
        assert not known & set(test[GROUP])
        assert len(test) == (5 if known == {"30"} else 6)


def shared(root: Path, image: MakeImage) -> Path:
    """Part 1 is trained on and tested on, 2 and 3 are on one side."""
    for name, seed in (("train/good/p1_0", 1), ("train/good/p2_0", 2), ("test/good/p1_1", 3), ("test/dent/p3_0", 4)):
        image(root / f"{name}.png", seed=seed)
    return root


def test_a_part_on_both_sides_is_told_with_an_example(tmp_path: Path, image: MakeImage, caplog) -> None:
    root = shared(tmp_path / "shared", image)
    data = MVTecAD(root=root, category="", group=PATTERN, num_workers=0)
    data.setup()
    assert (len(data.train_data), len(data.test_data)) == (2, 2)
    (message,) = [record.message for record in caplog.records if "both sides of the split" in record.message]
    assert "(1): 1 (train train/good/p1_0.png and test test/good/p1_1.png); set shared_groups" in message


@pytest.mark.parametrize(
    ("way", "train", "test"), [("not_trained", ["2"], ["1", "3"]), ("not_tested", ["1", "2"], ["3"])]
)
def test_a_part_on_both_sides_may_leave_one(tmp_path: Path, image: MakeImage, way, train, test, caplog) -> None:
    root = shared(tmp_path / way, image)
    data = MVTecAD(root=root, category="", group=PATTERN, shared_groups=way, num_workers=0)
    assert (sorted(groups(data, "train")), sorted(groups(data, "test"))) == (train, test)
    assert not any("both sides" in record.message for record in caplog.records)


def test_a_way_that_leaves_nothing_is_refused(tmp_path: Path, image: MakeImage) -> None:
    image(tmp_path / "one/train/good/p1_0.png", seed=1)
    image(tmp_path / "one/test/good/p1_1.png", seed=2)
    image(tmp_path / "one/test/dent/p2_1.png", seed=3)
    data = MVTecAD(root=tmp_path / "one", category="", group=PATTERN, shared_groups="not_trained", num_workers=0)
    with pytest.raises(DatasetError, match="every training image is of a part with images on the other side"):
        data.setup()


def exposures(root: Path, n_planted: int) -> Path:
    """Thirty tiles to train on and twenty to test on, of which some are training tiles at another exposure."""
    rng = np.random.default_rng(0)
    rng_of = {tile: np.random.default_rng(tile) for tile in range(50)}
    surfaces = {tile: ndimage.gaussian_filter(one.normal(size=(72, 72)), 6) for tile, one in rng_of.items()}
    for split, tiles in (("train/good", range(30)), ("test/good", [*range(n_planted), *range(30, 50 - n_planted)])):
        (root / split).mkdir(parents=True)
        for tile in tiles:
            top, left = rng.integers(0, 3, 2)  # the camera shakes by a px or two
            seen = surfaces[tile][top : top + 64, left : left + 64] / surfaces[tile].std()
            pixels = 120 + 25 * rng.uniform(0.6, 1.4) * seen + rng.uniform(-30, 30) + rng.normal(0, 4, seen.shape)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / split / f"p{tile}_{split[:2]}.png")
    (root / "test/dent").mkdir()
    Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)).save(root / "test/dent/p99_te.png")
    return root


@pytest.mark.parametrize("n_planted", [0, 7])
def test_siblings_are_found_without_names(tmp_path: Path, n_planted: int, caplog) -> None:
    root = exposures(tmp_path / "tiles", n_planted)
    MVTecAD(root=root, category="", num_workers=0).setup()
    found = [record.message for record in caplog.records if Kind.SIBLING.value[0] in record.message]
    if not n_planted:
        assert not found
        return
    (message,) = found
    told = message.partition(f"{Kind.SIBLING.value[0]} (7): ")[2]
    for tile in range(n_planted):
        assert f"test/good/p{tile}_te.png ~ train/good/p{tile}_tr.png" in told
    caplog.clear()
    MVTecAD(root=root, category="", num_workers=0, group=PATTERN, shared_groups="not_trained").setup()
    assert not any(Kind.SIBLING.value[0] in record.message for record in caplog.records)


def test_products_that_train_together_have_parts_of_their_own(tmp_path: Path, image: MakeImage) -> None:
    for category, seed in (("a", 10), ("b", 20)):
        shared(tmp_path / "two" / category, lambda path, seed=0, base=seed: image(path, seed=base + seed))
    data = MVTecAD(root=tmp_path / "two", category="all", group="/p([0-9])_", num_workers=0)
    assert sorted(groups(data, "train")) == ["a/1", "a/2", "b/1", "b/2"]


def test_a_product_without_named_parts_has_a_part_an_image(parts: Path, image: MakeImage) -> None:
    for seed, name in enumerate(("good/a", "good/b", "good/c", "bad/d"), 900):
        image(parts.parent / "lid" / f"{name}.png", seed=seed)
    lid = folder(parts.parent / "lid", name="lid", group=None)
    data = Products([folder(parts, name="cap"), lid], name="both", num_workers=0)
    found = set(groups(data, "test"))
    assert {"cap/20", "cap/23", "lid/bad/d.png"} <= found
    assert not any(str(parts.parent) in one for one in found)


def test_the_fingerprint_moves_with_the_parts_and_counts_them(parts: Path) -> None:
    plain, named, other = (fingerprint(folder(parts, test_split_ratio=0.0, group=one)) for one in
                           (None, PATTERN, "(p[0-9]+)_"))  # fmt: skip
    assert len({plain.sha256, named.sha256, other.sha256}) == 3
    counts = {name: count for name, count in named.counts.items() if "groups" in name}
    assert counts == {"n_train_groups": 12, "n_test_groups_normal": 0, "n_test_groups_anomalous": 4}
    assert not any("groups" in name for name in plain.counts)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("p(", "is no regular expression"),
        ("p[0-9]+_", "has no parentheses"),
        ("", "has no parentheses"),
    ],
)
def test_a_pattern_that_names_nothing_is_refused_at_once(parts: Path, group: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        folder(parts, group=group)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"shared_groups": "drop"}, "shared_groups is 'drop'; expected one of keep, not_trained, not_tested"),
        ({"shared_groups": "not_tested", "group": None}, "no parts are named"),
        ({"part_score": "worst"}, "part_score is 'worst'; expected max, mean or top and a number"),
        ({"part_score": "top0"}, "part_score is 'top0'"),
        ({"part_score": 3}, "part_score is 3"),
    ],
)
def test_a_way_that_cannot_be_is_refused_at_once(parts: Path, options: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        folder(parts, **options)


def test_parts_named_for_half_of_the_images_are_refused(parts: Path) -> None:
    with pytest.raises(DatasetError, match=r"matches the part of 8 of 44 images, not of good/p0_0.png, .* and 33 more"):
        folder(parts, group="bad/.*/p([0-9]+)_").setup()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "has no file"),
        ("", "found nothing; expected lines under the columns file, group"),
        ("name,part\na,b\n", "found the columns name, part"),
        ("file,group\ngood/p0_0.png,1\n", "names the part of 1 of 44 images"),
        ("file,group\ngood/p0_0.png,1\ngood/p0_0.png,2\n", "good/p0_0.png is in two groups"),
        (b"\xff\xfe\x00", "no table of text"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(parts: Path, text: str | bytes | None, expected: str) -> None:
    if text is not None:
        (parts / "groups.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((DatasetError, DatasetMissingError), match=expected):
        folder(parts, group="groups.csv").setup()


def test_the_check_of_stock_data_sets_knows_no_parts(parts: Path) -> None:
    from anomalib.data import Folder as Stock

    stock = Stock("product", "good", root=parts, abnormal_dir="bad", val_split_mode="same_as_test", num_workers=0)
    check_dataset(stock)
    assert np.isin(list(fingerprint(stock).files.columns), ["group"]).sum() == 0
