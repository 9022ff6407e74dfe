"""What training collects: whole in memory or in a file, with the same content, and nothing left behind."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning import seed_everything

from extensions import Patchcore
from extensions.models.patchcore import patch_store
from extensions.models.patchcore.patch_store import PatchStore

BATCHES = [torch.rand(size, 6, generator=torch.Generator().manual_seed(size)) for size in (8, 8, 8, 3)]
ALL_BYTES = 27 * 6 * 4


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    return tmp_path / "scratch"


def filled(*, limit: int | None, expected: int | None) -> PatchStore:
    store = PatchStore(limit)
    store.expect(expected)
    for batch in BATCHES:
        store.append(batch)
    return store


@pytest.mark.parametrize("expected", [4, 9, 2, None], ids=["known", "fewer came", "more came", "unknown"])
@pytest.mark.parametrize(
    ("limit", "in_file"), [(None, False), (ALL_BYTES // 2, True), (0, True)], ids=["default", "half", "none"]
)
def test_rows_come_back_in_order_wherever_they_lie(limit, in_file, expected):
    store = filled(limit=limit, expected=expected)
    assert len(store) == 27
    assert store.in_file == in_file
    np.testing.assert_array_equal(np.asarray(store.matrix()), torch.cat(BATCHES).numpy())


def test_memory_for_the_expected_rows_is_reserved_once():
    store = PatchStore()
    store.expect(4)
    store.append(BATCHES[0])
    before = store.matrix().data_ptr()
    for batch in BATCHES[1:]:
        store.append(batch)
    assert store.matrix().data_ptr() == before


@pytest.mark.parametrize("limit", [None, 0], ids=["memory", "file"])
def test_rows_written_to_their_place_or_made_later_come_back_in_order(limit):
    store = PatchStore(limit)
    store.expect(4)
    for batch in BATCHES[:2]:
        rows = store.place(len(batch), batch)
        store.append(batch if rows is None else rows.copy_(batch))
    store.append_later(8, lambda: BATCHES[2])
    assert len(store) == 24
    store.append(BATCHES[3])
    np.testing.assert_array_equal(np.asarray(store.matrix()), torch.cat(BATCHES).numpy())


def test_rows_made_later_are_not_made_when_the_store_is_cleared():
    store = PatchStore()
    store.append_later(8, lambda: pytest.fail("made"))
    store.clear()
    assert len(store) == 0
    assert store.matrix().numel() == 0


def test_a_file_leaves_no_name_and_is_gone_with_the_store(scratch):
    store = filled(limit=0, expected=4)
    assert list(scratch.iterdir()) == []
    store.clear()
    assert len(store) == 0
    assert not store.in_file
    store.append(BATCHES[0])
    assert len(store.matrix()) == 8


def test_half_precision_takes_half_the_file():
    store = PatchStore(0)
    store.append(BATCHES[0].half())
    assert store.matrix().dtype == np.float16
    np.testing.assert_array_equal(store.matrix(), BATCHES[0].half().numpy())


def test_too_little_disk_is_told_before_anything_is_written(monkeypatch, scratch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=500))
    store = PatchStore(100)
    store.expect(4)
    with pytest.raises(
        OSError, match=r"scratch: the training patches need 7.68e-07 GB of disk there, but 5e-07 GB are"
    ):
        store.append(BATCHES[0])


def test_a_disk_that_fills_up_is_told_and_nothing_stays(monkeypatch):
    store = filled(limit=0, expected=None)

    class Full:
        def write(self, _):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    store._file = Full()
    with pytest.raises(OSError, match=r"No space left on device; make space, set \$WORKBENCH_CACHE"):
        store.append(BATCHES[0])
    assert len(store) == 0


def test_the_default_limit_is_a_share_of_the_memory(monkeypatch):
    monkeypatch.setattr(patch_store, "_memory_of", lambda _: 4 * ALL_BYTES - 8)
    assert filled(limit=None, expected=4).in_file
    monkeypatch.setattr(patch_store, "_memory_of", lambda _: 4 * 32 * 6 * 4)
    assert not filled(limit=None, expected=4).in_file


def test_the_bank_is_the_same_with_and_without_a_file(bare, engine, tiny_folder, scratch):
    banks = []
    for limit in (None, 0, 8 * 8 * 4 * 240 * 4):
        seed_everything(3)
        model = Patchcore(
            "test_resnet",
            image_size=64,
            pre_trained=False,
            coreset_sampling_ratio=0.1,
            num_neighbors=3,
            max_memory_bytes=limit,
            **bare,
        )
        engine().fit(model, datamodule=tiny_folder())
        assert len(model.model.embedding_store) == 0
        banks.append(model.model.memory_bank)
    assert torch.equal(banks[0], banks[1])
    assert torch.equal(banks[0], banks[2])
    assert list(scratch.iterdir()) == []


def test_a_fit_that_fails_leaves_no_patches(bare, engine, tiny_folder, scratch):
    model = Patchcore(
        "test_resnet", image_size=64, pre_trained=False, coreset_sampling_ratio=0.01, max_memory_bytes=0, **bare
    )
    with pytest.raises(ValueError, match="fewer than num_neighbors"):
        engine().fit(model, datamodule=tiny_folder())
    assert len(model.model.embedding_store) == 0
    assert list(scratch.iterdir()) == []
