"""Defects among the training images, one test set whatever the ratio."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from extensions import ContaminatedElpv, ContaminatedFolder, ContaminatedMVTecAD
from extensions.data import DatasetError, fingerprint
from extensions.data.datamodules.set_aside import apportion, injection_order, largest_possible, n_injected
from extensions.data.reading.image_files import read_image

MakeImage = Callable[..., Path]
KINDS = {"scratch": 8, "dent": 5, "hole": 3}  # 16 defects beside 20 normal training images


@pytest.fixture
def parts(tmp_path: Path, image: MakeImage, mask: MakeImage) -> Path:
    """good (20), good_test (4), bad/<kind> and masks/<kind> by `KINDS`."""
    root = tmp_path / "parts"
    for folder, count in (("good", 20), ("good_test", 4)):
        for index in range(count):
            image(root / folder / f"{index:03d}.png")
    for kind, count in KINDS.items():
        for index in range(count):
            image(root / "bad" / kind / f"{index:03d}.png")
            mask(root / "masks" / kind / f"{index:03d}_mask.png")
    return root


def contaminated(root: Path, ratio: float = 0.0, **options: object) -> ContaminatedFolder:
    arguments = {
        "normal_test_dir": "good_test", "abnormal_dir": "bad", "mask_dir": "masks", "num_workers": 0,
        "largest_ratio": 0.3,
    }  # fmt: skip
    return ContaminatedFolder("parts", "good", root=root, contamination_ratio=ratio, **(arguments | options))


def files_of_test(data: ContaminatedFolder) -> list[tuple[str, int]]:
    data.setup()
    samples = data.test_data.samples
    return [(data.relative(path), label) for path, label in zip(samples.image_path, samples.label_index, strict=True)]


def contents(paths: object) -> list[str]:
    return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]  # type: ignore[attr-defined]


def injected_contents(data: ContaminatedFolder) -> set[str]:
    return set(contents(data.injected))


def test_contamination_leaves_the_test_set_unchanged(parts: Path) -> None:
    first = files_of_test(contaminated(parts))
    assert Counter(label for _, label in first) == {0: 4, 1: 16 - 9}
    for ratio in (0.05, 0.1, 0.2, 0.3):
        for repeats in (1, 3):
            data = contaminated(parts, ratio, repeats=repeats)
            assert files_of_test(data) == first
            train = contents(data.train_data.samples.image_path)
            assert not set(train) & set(contents(data.test_data.samples.image_path))
            assert len(set(train)) == len(train)


def test_the_ratio_is_the_share_of_the_mixture_and_what_was_realised_is_told(parts: Path) -> None:
    for ratio, n in ((0.0, 0), (0.05, 1), (0.1, 2), (0.2, 5), (0.3, 9)):
        data = contaminated(parts, ratio)
        found = data.contamination
        assert json.loads(json.dumps(found)) == found
        assert (found["n_injected"], found["n_defects"], found["n_set_aside"]) == (n, n, 9)
        assert len(data.injected) == sum(found["kinds"].values()) == n
        assert data.contamination_ratio == found["ratio"] == n / (20 + n)
        assert len(data.train_data) == 20 + n
        assert (found["requested_ratio"], found["largest_ratio"], found["repeats"]) == (ratio, 0.3, 1)


def test_a_smaller_ratio_injects_part_of_what_a_larger_one_does(parts: Path) -> None:
    for repeats in (1, 3):
        nested = [contaminated(parts, ratio, repeats=repeats).injected for ratio in (0.05, 0.1, 0.2, 0.25, 0.3)]
        assert all(small < large for small, large in pairwise(nested))


def test_every_prefix_has_the_proportion_of_the_kinds() -> None:
    rng = random.Random(0)
    for seed in range(40):
        sizes = {f"kind{index}": rng.randint(2, 60) for index in range(rng.randint(1, 6))}
        kind_of = {f"{kind}/{index}": kind for kind, size in sizes.items() for index in range(size)}
        n = rng.randint(1, sum(sizes.values()) - len(sizes))
        order = injection_order(kind_of, n, seed=seed)
        assert len(set(order)) == n
        whole = Counter(kind_of[content] for content in order)
        for m in range(1, n + 1):
            counts = Counter(kind_of[content] for content in order[:m])
            assert all(abs(counts[kind] - m * count / n) < 1.2 for kind, count in whole.items())


def test_shares_are_those_of_the_largest_remainder_and_leave_one_of_each_kind() -> None:
    assert apportion({"large": 20, "small": 22, "dirt": 21}, 37) == {"large": 12, "small": 13, "dirt": 12}
    assert apportion({"a": 10, "b": 1, "c": 2}, 10) == {"a": 9, "b": 0, "c": 1}
    for n in range(11):
        assert sum(apportion({"a": 10, "b": 1, "c": 2}, n).values()) == n
    with pytest.raises(ValueError, match="cannot take 11 of 13"):
        apportion({"a": 10, "b": 1, "c": 2}, 11)


def test_one_of_each_kind_stays_in_the_test_set_however_much_is_injected(parts: Path) -> None:
    data = contaminated(parts, 0.39, largest_ratio=0.39)
    assert data.contamination["n_injected"] == 13
    assert fingerprint(data).counts["defect_kinds"] == {"dent": 1, "hole": 1, "scratch": 1}


def test_a_ratio_the_data_cannot_give_is_an_error_with_the_largest_that_works(parts: Path) -> None:
    with pytest.raises(DatasetError, match=r"largest_ratio of 0\.5.*20 normal.*takes 20 defects.*set it to 0\.393"):
        contaminated(parts, largest_ratio=0.5).setup()
    assert contaminated(parts, 0.393, largest_ratio=0.393).contamination["n_injected"] == 13
    for n_normal in range(1, 60):
        for n_defects in range(2, 30):
            kind_of = {str(index): str(index % 2) for index in range(n_defects)}
            largest = largest_possible(kind_of, n_normal)
            assert n_injected(largest, n_normal) <= n_defects - 2 <= n_injected(largest + 0.001, n_normal) + n_normal


def test_a_ratio_of_less_than_one_defect_is_an_error_not_clean_data(parts: Path) -> None:
    with pytest.raises(DatasetError, match=r"0\.01 is less than one defect.*set it to 0, or to 0\.048 or more"):
        contaminated(parts, 0.01).setup()
    assert contaminated(parts, 0.048).contamination["n_injected"] == 1


def test_without_defects_nothing_can_be_set_aside(parts: Path) -> None:
    with pytest.raises(DatasetError, match="name them by abnormal_dir, or set largest_ratio to 0"):
        contaminated(parts, abnormal_dir=None, mask_dir=None).setup()
    plain = contaminated(parts, abnormal_dir=None, mask_dir=None, largest_ratio=0.0)
    assert (plain.contamination["n_injected"], len(plain.train_data)) == (0, 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contamination_ratio": 1.0}, r"contamination_ratio is 1\.0; expected a number from 0"),
        ({"largest_ratio": -0.1}, r"largest_ratio is -0\.1"),
        ({"contamination_ratio": 0.2, "largest_ratio": 0.15}, r"is 0\.2; expected at most largest_ratio.*0\.15"),
        ({"repeats": 0}, "repeats is 0; expected 1"),
    ],
)
def test_values_that_cannot_be_are_refused_at_once(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContaminatedFolder("parts", "good", **options)  # type: ignore[arg-type]


def test_training_cannot_see_the_truth(parts: Path) -> None:
    data = contaminated(parts, 0.3, repeats=2)
    data.setup()
    samples = data.train_data.samples
    assert samples["injected"].sum() == 9
    assert set(samples[samples["injected"]].image_path) == data.injected
    assert set(samples[samples["injected"]].kind) == set(KINDS)
    assert set(samples[~samples["injected"]].kind) == {"good"}
    assert not data.test_data.samples["injected"].any()
    assert not data.train_data.has_anomalous
    for item in data.train_data:
        assert (int(item.gt_label), int(item.gt_mask.sum()), item.mask_path) == (0, 0, None)
        assert item.image.shape == (3, 64, 64)


def test_the_choice_follows_seed_and_content_and_neither_names_nor_places(parts: Path) -> None:
    first = injected_contents(contaminated(parts, 0.2))
    moved = parts.parent / "elsewhere" / "parts"
    shutil.copytree(parts, moved)
    for kind, count in KINDS.items():  # turn the names around
        for folder, ending in (("bad", ""), ("masks", "_mask")):
            for index in range(count):
                old = moved / folder / kind / f"{index:03d}{ending}.png"
                old.rename(old.with_name(f"{count - index:03d}_new{ending}.png"))
    assert injected_contents(contaminated(moved, 0.2)) == first
    assert injected_contents(contaminated(parts, 0.2, seed=1)) != first
    assert files_of_test(contaminated(parts, seed=1)) != files_of_test(contaminated(parts))


def test_copies_of_a_defect_are_one_defect_and_not_torn_apart(parts: Path, image: MakeImage, mask: MakeImage) -> None:
    for index in range(4):
        image(parts / "bad" / "scratch" / f"copy{index}.png", seed=7)
        mask(parts / "masks" / "scratch" / f"copy{index}_mask.png")
    sides = set()
    for seed in range(8):
        data = contaminated(parts, 0.3, seed=seed)
        in_test = sum("copy" in name for name, _ in files_of_test(data))
        in_train = sum("copy" in path for path in data.injected)
        assert (in_test, in_train) in {(4, 0), (0, 1)}
        assert data.contamination["n_injected"] == 9
        sides.add(in_test)
    assert sides == {0, 4}


def test_a_defect_of_two_kinds_stays_in_the_test_set(parts: Path, image: MakeImage, mask: MakeImage) -> None:
    for kind in ("dent", "hole"):
        image(parts / "bad" / kind / "both.png", seed=7)
        mask(parts / "masks" / kind / "both_mask.png")
    for seed in range(4):
        names = [name for name, _ in files_of_test(contaminated(parts, 0.39, largest_ratio=0.39, seed=seed))]
        assert {"bad/dent/both.png", "bad/hole/both.png"} <= set(names)


def test_recurring_defects_are_few_and_their_copies_differ_a_little(parts: Path) -> None:
    data = contaminated(parts, 0.3, repeats=4)
    assert data.contamination | {"kinds": {}} == contaminated(parts, 0.3).contamination | {
        "repeats": 4, "n_defects": 3, "kinds": {},
    }  # fmt: skip
    originals = [path for path in data.injected if path.startswith(str(parts))]
    drawn = sorted(data.injected - set(originals))
    assert (len(originals), len(drawn)) == (3, 6)
    for path in originals:
        ours = [copy for copy in drawn if Path(copy).name.startswith(contents([path])[0][:16])]
        assert len(ours) in {0, 2, 3}
        for copy in ours:
            changed = np.abs(read_image(copy).astype(int) - read_image(path))
            assert 0 < changed.mean() < 25  # grey levels; two images of this size differ by about 50
    assert all(data.relative(copy).startswith("drawn/recurring/") for copy in drawn)


def test_copies_are_equal_wherever_they_are_drawn(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint(contaminated(parts, 0.3, repeats=4))
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "another"))
    again = fingerprint(contaminated(parts, 0.3, repeats=4))
    assert again.sha256 == first.sha256
    assert again.files.equals(first.files)
    assert fingerprint(contaminated(parts, 0.3, repeats=3)).sha256 != first.sha256


@pytest.mark.parametrize("mode", ["same_as_test", "from_test", "from_train", "synthetic", "none"])
def test_every_way_to_validate_keeps_the_test_set_and_takes_injected_ones_along(parts: Path, mode: str) -> None:
    data = contaminated(parts, 0.3, repeats=3, val_split_mode=mode)
    assert files_of_test(data) == files_of_test(contaminated(parts, val_split_mode=mode))
    found, val = data.contamination, data.val_data.samples
    is_moved = mode in {"from_train", "synthetic"}
    assert found["n_injected"] + found["n_injected_validation"] == 9
    assert found["n_injected_validation"] == val["injected"].sum()
    assert (found["n_injected_validation"] > 0) == is_moved
    assert data.contamination_ratio == found["n_injected"] / len(data.train_data)
    assert not set(data.train_data.samples.image_path) & set(val.image_path)
    if mode == "from_train":
        assert (val.label_index == 0).all()
        assert found["n_injected_validation"] % 3 == 0  # copies of a defect stay on one side


def test_the_fingerprint_moves_with_the_ratio_and_knows_the_kinds(parts: Path) -> None:
    found = [fingerprint(contaminated(parts, ratio)) for ratio in (0.0, 0.1, 0.3)]
    assert len({one.sha256 for one in found}) == 3
    train = found[2].files[found[2].files.split == "train"]
    assert set(train.label) == {0}
    assert set(train.kind) == {"good", *KINDS}
    assert [one.counts["n_train"] for one in found] == [20, 22, 29]


def test_the_other_layouts_are_contaminated_alike(mvtec: Path, image: MakeImage, mask: MakeImage) -> None:
    for index in range(4, 12):
        image(mvtec / "bottle" / "train" / "good" / f"{index:03d}.png")
    data = ContaminatedMVTecAD(mvtec, "bottle", contamination_ratio=0.14, num_workers=0)
    assert data.contamination["kinds"] == {"broken": 2}
    assert len(data.test_data) == 2 + 1
    cells = ContaminatedElpv(n_train=40, n_test=20, contamination_ratio=0.1, num_workers=0)
    assert (cells.name, cells.contamination["kinds"]) == ("elpv_contaminated", {"defective": 4})
    assert fingerprint(cells).counts["n_test_anomalous"] == 10 - 7


def test_classes_are_built_from_a_config_with_arguments_of_both_parents() -> None:
    from extensions.configuration import instantiate_data

    for name, arguments in {
        "ContaminatedFolder": {"name": "a", "normal_dir": "x", "abnormal_dir": ["y"], "test_split_ratio": 0.1},
        "ContaminatedMVTecAD": {"root": "mvtec", "category": "cable", "name": "b"},
        "ContaminatedElpv": {"cells": "poly", "n_train": 3},
    }.items():
        added = {"contamination_ratio": 0.1, "largest_ratio": 0.12, "repeats": 2}
        common = {"seed": 5, "val_split_mode": "none", "num_workers": 0}
        data = instantiate_data({"class_path": f"extensions.{name}", "init_args": arguments | added | common})
        assert (type(data).__name__, data.seed, data.contamination_ratio, data.repeats) == (name, 5, 0.1, 2)


def test_the_check_command_tells_what_was_injected(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from extensions.data.__main__ import main

    config = parts.parent / "data.json"
    arguments = {"name": "parts", "root": str(parts), "normal_dir": "good", "abnormal_dir": "bad"}
    arguments |= {"normal_test_dir": "good_test", "mask_dir": "masks"}
    data = {"class_path": "extensions.ContaminatedFolder", "init_args": arguments}
    config.write_text(json.dumps({"data": data}))
    override = "data.init_args.contamination_ratio=0.15"
    assert main(["check", "--config", str(config), "--set", override]) == 0
    shown = capsys.readouterr().out
    assert "dent 1, hole 1, scratch 2 (16.7% of training)" in shown
    assert main(["sheet", "--config", str(config), "--output", str(parts.parent / "sheet.png"), "--n", "4"]) == 0


def test_a_record_tells_what_was_realised_and_its_key_follows_the_ratio(parts: Path, tmp_path: Path) -> None:
    from benchmark.one_run.options import RunOptions
    from benchmark.one_run.runner import run_experiment
    from benchmark.plan.experiment import Experiment
    from benchmark.records.archive import load
    from benchmark.tables.leaderboard import build_tables

    model = {"backbone": "test_resnet", "pre_trained": False, "image_size": 64, "n_features": 5}
    folders = {"normal_dir": "good", "normal_test_dir": "good_test", "abnormal_dir": "bad", "mask_dir": "masks"}
    records = []
    for ratio in (0.0, 0.1, 0.14):
        arguments = {"name": "parts", "root": str(parts), "num_workers": 0, "contamination_ratio": ratio, "repeats": 2}
        experiment = Experiment(
            model={"class_path": "extensions.Padim", "init_args": model},
            data={"class_path": "extensions.ContaminatedFolder", "init_args": arguments | folders},
        )
        record = run_experiment(experiment, tmp_path / "out", options=RunOptions(progress=False, keep_checkpoint=False))
        assert record.status == "finished", record.error
        records.append(record)
    assert [r.dataset.contamination_ratio for r in records] == [0.0, 2 / 22, 3 / 23]
    assert records[2].dataset.contamination["n_injected"] == 3
    assert records[2].dataset.contamination["n_defects"] == 2
    assert len({r.key for r in records}) == 3
    board = build_tables(load(tmp_path / "out").records).leaderboard
    assert sorted(board["contamination_ratio"]) == pytest.approx([0.0, 2 / 22, 3 / 23])
    assert any("contamination_ratio=0.14" in settings for settings in board["settings"])

    arguments |= {"contamination_ratio": 0.5, "largest_ratio": 0.5}
    impossible = Experiment(
        model=experiment.model, data={"class_path": "extensions.ContaminatedFolder", "init_args": arguments | folders}
    )
    failed = run_experiment(impossible, tmp_path / "out", options=RunOptions(progress=False))
    assert (failed.status, failed.dataset.contamination_ratio) == ("failed", 0.5)
    assert "0.393" in failed.error.message
    assert "contamination" not in failed.on_disk()["dataset"]


def test_giving_a_default_of_the_plain_datamodule_changes_no_key() -> None:
    from benchmark.plan.experiment import constructor_defaults

    defaults = constructor_defaults("extensions.ContaminatedElpv", "data")
    assert (defaults["cells"], defaults["n_train"]) == ("mono", None)
    assert (defaults["largest_ratio"], defaults["repeats"]) == (0.15, 1)
