"""Batches read by threads are those that processes and no workers give."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from anomalib import TaskType
from pandas import DataFrame
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from extensions.data.datamodules.dataset import WorkbenchDataset
from extensions.models.common.thread_loader import ThreadLoader, by_threads
from extensions.models.common.threads import compute_on

RESIZE = v2.Compose([v2.Resize((16, 24))])


@pytest.fixture
def dataset(tmp_path):
    """Seven images of noise, brought to size."""
    rng = np.random.default_rng(0)
    for number in range(7):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    rows = {"image_path": sorted(map(str, tmp_path.iterdir())), "mask_path": "", "label_index": 0, "kind": "good"}
    return WorkbenchDataset(
        DataFrame(rows | {"split": "test"}), name="noise", task=TaskType.SEGMENTATION, augmentations=RESIZE
    )


def loader_of(dataset, **arguments) -> DataLoader:
    return DataLoader(dataset, **({"batch_size": 3, "collate_fn": dataset.collate_fn} | arguments))


@pytest.mark.parametrize("n_workers", [0, 2, 5])
@pytest.mark.parametrize("arguments", [{}, {"shuffle": True}, {"shuffle": True, "drop_last": True}, {"batch_size": 1}])
def test_threads_give_the_batches_and_leave_the_random_numbers_of_a_stock_loader(dataset, arguments, n_workers):
    found, drawn = {}, {}
    for kind in ("stock", "threads"):
        loader = loader_of(dataset, **arguments, num_workers=n_workers if kind == "threads" else 0)
        loader = by_threads(loader) if kind == "threads" else loader
        assert isinstance(loader, ThreadLoader) == (kind == "threads")
        torch.manual_seed(1)
        found[kind] = [batch for _ in range(2) for batch in loader]  # two epochs
        drawn[kind] = torch.rand(3)
        assert len(found[kind]) == 2 * len(loader)
    assert torch.equal(drawn["stock"], drawn["threads"])
    for batch, expected in zip(found["threads"], found["stock"], strict=True):
        assert batch.image_path == expected.image_path
        assert torch.equal(batch.image, expected.image)
        assert torch.equal(batch.gt_mask, expected.gt_mask)


def test_what_cannot_be_read_is_told_at_its_batch_and_no_thread_stays(dataset):
    loader = by_threads(loader_of(dataset, num_workers=2))
    Path(dataset.samples.image_path[4]).write_bytes(b"")
    with pytest.raises(Exception, match=r"4\.png"):
        list(loader)
    batches = iter(loader)
    assert next(batches).image_path == dataset.samples.image_path[:3].tolist()
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reader")]


def test_reading_takes_one_core_a_thread_and_leaves_torch_its_threads(dataset, monkeypatch):
    seen = []

    def read(self, index):
        seen.append(torch.get_num_threads())
        return before(self, index)

    before = WorkbenchDataset.__getitem__
    monkeypatch.setattr(WorkbenchDataset, "__getitem__", read)
    n_threads = torch.get_num_threads()
    compute_on(3)
    try:
        list(by_threads(loader_of(dataset, num_workers=2)))
        assert torch.get_num_threads() == 3
    finally:
        compute_on(n_threads)
    assert set(seen) == {1}
    assert len(seen) == 7


def test_loaders_with_anything_random_or_of_their_own_are_left_as_they_are(dataset):
    loaders = [
        loader_of(dataset, num_workers=1, timeout=1),
        loader_of(dataset, worker_init_fn=print),
        DataLoader(torch.ones(2)),
        loader_of(dataset, batch_size=None, collate_fn=None),
    ]
    for loader in loaders:
        assert by_threads(loader) is loader
    dataset.augmentations = v2.Compose([v2.RandomHorizontalFlip(), RESIZE])
    loader = loader_of(dataset)
    assert by_threads(loader) is loader
