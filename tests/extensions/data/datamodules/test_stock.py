"""anomalib's own datamodules: what was checked is what is tested."""

from __future__ import annotations

from pathlib import Path

import pytest
from anomalib.data import Folder as StockFolder
from lightning.pytorch.trainer.states import TrainerFn

from extensions.data import DatasetError, DatasetMissingError
from extensions.data.datamodules.stock import set_up, take_seed
from extensions.data.errors import Kind


def stock(root: Path, **arguments: object) -> StockFolder:
    return StockFolder("x", normal_dir="good", root=root, abnormal_dir="bad", num_workers=0, **arguments)  # type: ignore[arg-type]


def in_test(datamodule: StockFolder) -> list[str]:
    return sorted(datamodule.test_data.samples["image_path"])


def test_a_second_set_up_keeps_the_splits(product: Path) -> None:
    data = stock(product)
    set_up(data, seed=1)
    first = in_test(data)
    data.setup()
    data.setup(TrainerFn.FITTING)
    assert in_test(data) == first


def test_the_runs_seed_splits_where_there_is_none(product: Path) -> None:
    first, second, other, own = (stock(product), stock(product), stock(product), stock(product, seed=1))
    for data, seed in ((first, 1), (second, 1), (other, 2), (own, 2)):
        set_up(data, seed=seed)
    assert in_test(first) == in_test(second) == in_test(own)
    assert in_test(first) != in_test(other)
    assert not take_seed(own, 5)


@pytest.mark.parametrize("mode", ["test_split_mode", "val_split_mode"])
def test_defects_drawn_from_the_global_state_are_refused(product: Path, mode: str) -> None:
    with pytest.raises(DatasetError, match=rf"'x': {mode}=synthetic of Folder draws other defects"):
        set_up(stock(product, **{mode: "synthetic"}), seed=0)


def test_a_folder_that_is_not_there_is_missing_data(product: Path) -> None:
    with pytest.raises(DatasetMissingError, match=r"'x' is not on this disk \(.*nowhere"):
        set_up(stock(product / "nowhere"), seed=0)


def test_a_relative_root_that_is_not_there_says_where_it_starts(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    with pytest.raises(DatasetMissingError, match=r"start at the working directory, not at --data-root"):
        set_up(stock(Path("nowhere")), seed=0)
    with pytest.raises(DatasetMissingError, match=r"in the config$"):
        set_up(stock(tmp_path / "nowhere"), seed=0)


def test_the_files_are_checked_as_those_of_our_own_datamodules(product: Path) -> None:
    image = sorted((product / "good").glob("*.png"))[0]
    (product / "bad" / "copy.png").write_bytes(image.read_bytes())
    (product / "bad" / "torn.png").write_bytes(image.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"2 problems") as caught:
        set_up(stock(product), seed=0)
    assert {problem.kind for problem in caught.value.problems} >= {Kind.UNREADABLE}
