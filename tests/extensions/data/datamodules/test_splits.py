"""Few training images: drawn by a seed, nested, tested on the same images as all of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from extensions import ContaminatedElpv, ContaminatedFolder, ContaminatedMVTecAD, Elpv, ElpvSynthetic, Folder, MVTecAD
from extensions.data import DatasetError, fingerprint
from extensions.data.splits import few

MakeImage = Callable[..., Path]


def folder(root: Path, k: int | None = None, **options: object) -> Folder:
    arguments = {"abnormal_dir": "bad", "mask_dir": "masks", "num_workers": 0}
    return Folder("product", "good", root=root, k_shot=k, **(arguments | options))  # type: ignore[arg-type]


def names(data: Folder, part: str) -> list[str]:
    data.setup()
    return [data.relative(path) for path in getattr(data, f"{part}_data").samples.image_path]


def test_k_images_train_and_validation_and_test_stay_as_they_are(product: Path) -> None:
    for mode in ("same_as_test", "from_test", "from_train", "none"):
        whole = folder(product, val_split_mode=mode)
        for k in (1, 2, 4):
            data = folder(product, k, val_split_mode=mode)
            assert len(names(data, "train")) == k
            assert set(names(data, "train")) <= set(names(whole, "train"))
            assert data.k_shot_images == names(data, "train")
            assert {part: names(data, part) for part in ("val", "test")} == {
                part: names(whole, part) for part in ("val", "test")
            }
    assert whole.k_shot_images == []


def test_fewer_images_are_among_more_and_seeds_draw_others(product: Path) -> None:
    for seed in range(5):
        drawn = [set(folder(product, k, k_shot_seed=seed).k_shot_images) for k in (1, 2, 4, 8)]
        assert all(small < large for small, large in pairwise(drawn))
    assert len({tuple(folder(product, 2, k_shot_seed=seed).k_shot_images) for seed in range(8)}) > 4


def test_every_image_is_drawn_equally_often() -> None:
    contents = [f"image {index}" for index in range(10)]
    counts = [0] * 10
    for seed in range(3000):
        for row in few(contents, 3, seed=seed):
            counts[row] += 1
    assert all(abs(count - 900) < 100 for count in counts)  # four standard deviations


def test_the_seed_is_that_of_the_draw_else_that_of_the_run_else_that_of_the_data(product: Path) -> None:
    def drawn(run: int | None = None, **seeds: int) -> list[str]:
        data = folder(product, 3, normal_test_dir="good_test", **seeds)
        if run is not None:
            data.take_run_seed(run)
        return data.k_shot_images

    expected = {seed: drawn(k_shot_seed=seed) for seed in range(3)}
    assert len({tuple(images) for images in expected.values()}) == 3
    assert drawn(seed=1) == drawn(run=1) == drawn(run=1, seed=2) == drawn(run=2, k_shot_seed=1) == expected[1]


def test_a_runs_seed_draws_training_images_and_leaves_the_test_set_alone(product: Path) -> None:
    tests = set()
    for seed in range(3):
        data = folder(product, 2)
        data.take_run_seed(seed)
        tests.add(tuple(names(data, "test")))
    assert len(tests) == 1


def test_another_process_draws_the_same(product: Path) -> None:
    code = (
        "import sys; from extensions import Folder; "
        "print(Folder('p', 'good', root=sys.argv[1], abnormal_dir='bad', k_shot=3, k_shot_seed=7).k_shot_images)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(product)], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == str(folder(product, 3, k_shot_seed=7).k_shot_images)


def test_names_and_added_images_do_not_change_what_is_drawn(product: Path, image: MakeImage) -> None:
    def drawn() -> set[bytes]:
        data = folder(product, 4, normal_test_dir="good_test")
        return {(product / name).read_bytes() for name in data.k_shot_images}

    before = drawn()
    for path in sorted((product / "good").iterdir()):
        path.rename(path.with_name(f"z{int(path.stem) * 7 % 10}.png"))
    assert drawn() == before
    image(product / "good" / "new.png")
    assert len(drawn() & before) >= 3


def test_copies_of_one_image_count_once(product: Path, image: MakeImage) -> None:
    for index in range(20):
        image(product / "good" / f"copy{index}.png", seed=7)
    data = folder(product, 11, normal_test_dir="good_test")
    assert sum("copy" in name for name in data.k_shot_images) == 1
    with pytest.raises(DatasetError, match="has 11 training images that differ"):
        folder(product, 12, normal_test_dir="good_test").setup()


def test_more_than_there_are_and_less_than_one_are_errors(product: Path) -> None:
    with pytest.raises(DatasetError, match=r"k_shot is 11, but data set 'product' has 10 .*set it to 1 to 10"):
        folder(product, 11, normal_test_dir="good_test").setup()
    with pytest.raises(DatasetError, match=r"has 5 .*'from_train'"):
        folder(product, 6, normal_test_dir="good_test", val_split_mode="from_train").setup()
    for wrong in (0, -2, True, 2.0):
        with pytest.raises(ValueError, match=f"k_shot is {wrong}; expected 1 or more"):
            folder(product, wrong)  # type: ignore[arg-type]


def test_defects_are_not_mixed_into_few_images(product: Path) -> None:
    arguments = {"root": product, "abnormal_dir": "bad", "normal_test_dir": "good_test"}
    with pytest.raises(ValueError, match=r"k_shot is 4 and contamination_ratio 0\.1; expected one of the two"):
        ContaminatedFolder("product", "good", k_shot=4, contamination_ratio=0.1, **arguments)
    data = ContaminatedFolder("product", "good", k_shot=4, **arguments)
    whole = ContaminatedFolder("product", "good", **arguments)
    assert (len(data.k_shot_images), data.contamination["n_injected"], data.contamination_ratio) == (4, 0, 0.0)
    assert names(data, "test") == names(whole, "test")
    assert data.contamination["n_set_aside"] == whole.contamination["n_set_aside"] > 0


def test_data_in_mvtec_layout_has_it_too(mvtec: Path) -> None:
    for build in (MVTecAD, ContaminatedMVTecAD):
        data = build(root=mvtec, k_shot=2)
        assert len(data.k_shot_images) == fingerprint(data).counts["n_train"] == 2
        assert all(name.startswith("bottle/train/good/") for name in data.k_shot_images)


def test_the_packaged_cells_have_it_too() -> None:
    pytest.importorskip("elpv_dataset")
    sizes = {"n_train": 12, "n_test": 8, "num_workers": 0}
    few_of = {build: build(k_shot=3, **sizes) for build in (Elpv, ElpvSynthetic, ContaminatedElpv)}
    for build, data in few_of.items():
        assert len(data.k_shot_images) == fingerprint(data).counts["n_train"] == 3
        assert names(data, "test") == names(build(**sizes), "test")
    drawn = [{Path(name).name for name in few_of[build].k_shot_images} for build in (Elpv, ElpvSynthetic)]
    assert drawn[0] == drawn[1]


def test_it_is_read_from_a_config(product: Path) -> None:
    from extensions.configuration import instantiate_data

    arguments = {"name": "a", "normal_dir": "good", "root": str(product), "k_shot": 4, "k_shot_seed": 1}
    data = instantiate_data({"class_path": "extensions.Folder", "init_args": arguments})
    assert len(data.k_shot_images) == 4


@pytest.mark.parametrize(
    ("name", "value"), [("seed", -1), ("seed", 1.5), ("seed", None), ("k_shot_seed", -1), ("k_shot_seed", True)]
)
def test_a_seed_that_cannot_be_is_named(product: Path, name: str, value: float | None) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}; expected a whole number from 0 on"):
        folder(product, 2, **{name: value})
