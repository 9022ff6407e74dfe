"""Defects that settings are chosen by: out of the test set by parts, seeded, and neither trained on nor tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from extensions import Folder
from extensions.data import DatasetError

MakeImage = Callable[..., Path]


@pytest.fixture
def parts(tmp_path: Path, image: MakeImage) -> Path:
    """good (6), good_test (4, of parts 1 and 90 to 92), bad/scratch (8), bad/dent (4): two images a part, no masks."""
    root = tmp_path / "parts"
    for index in range(6):
        image(root / "good" / f"part{50 + index}_0.png")
    for part in (1, 90, 91, 92):
        image(root / "good_test" / f"part{part}_9.png")
    for kind, first, count in (("scratch", 1, 8), ("dent", 21, 4)):
        for index in range(count):
            image(root / "bad" / kind / f"part{first + index // 2}_{index % 2}.png")
    return root


def folder(root: Path, **options: object) -> Folder:
    arguments = {"normal_test_dir": "good_test", "abnormal_dir": "bad", "num_workers": 0}
    data = Folder("parts", "good", root=root, **(arguments | options))
    data.setup()
    return data


def names(data: Folder, split: str) -> set[str]:
    return {data.relative(path) for path in getattr(data, f"{split}_data").samples["image_path"]}


def test_they_leave_the_test_set_and_nothing_else_changes(parts: Path) -> None:
    plain, data = folder(parts), folder(parts, tuned_on=4)
    assert names(data, "test") | names(data, "tuning") == names(plain, "test")
    assert not names(data, "test") & names(data, "tuning")
    assert names(data, "train") == names(plain, "train")
    assert len(data.tuning_data) == 4
    assert set(data.tuning_data.samples["kind"]) == {"scratch", "dent"}  # in proportion: 8 to 4
    assert (data.tuning_data.samples["label_index"] == 1).all()
    assert plain.tuning_data is None


def test_parts_go_as_a_whole_their_good_images_with_them(parts: Path) -> None:
    def part_of(name: str) -> str:
        return Path(name).name.partition("_")[0]

    for seed in range(6):
        data = folder(parts, tuned_on=3, tuned_on_seed=seed, group=r"(part\d+)_")
        taken, tested = ({part_of(name) for name in names(data, split)} for split in ("tuning", "test"))
        assert len(data.tuning_data) == len(taken) == 3, "each of another part, of which there are 6"
        assert not taken & tested, "also second images of the parts, and good ones"
        more = folder(parts, tuned_on=5, tuned_on_seed=seed, group=r"(part\d+)_")
        assert len({part_of(name) for name in names(more, "tuning")}) == 3, "no more than half of the parts"
        assert len(more.tuning_data) == 5


def test_the_seed_draws_and_repeats(parts: Path) -> None:
    first = names(folder(parts, tuned_on=4), "tuning")
    assert names(folder(parts, tuned_on=4, seed=5), "tuning") == first
    assert any(names(folder(parts, tuned_on=4, tuned_on_seed=seed), "tuning") != first for seed in (1, 2, 3))


def test_more_than_there_are_says_how_many(parts: Path) -> None:
    with pytest.raises(DatasetError, match=r"tuned_on is 12, but of the 12 defects .* only 10 can be had"):
        folder(parts, tuned_on=12)
    with pytest.raises(ValueError, match="tuned_on is -1; expected 0 or more"):
        folder(parts, tuned_on=-1)
