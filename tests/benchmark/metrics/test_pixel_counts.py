from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics import pixel_counts
from benchmark.metrics.histogram import sortable
from benchmark.metrics.pixel_counts import PixelCounts


def counted(scores: np.ndarray, masks: np.ndarray, order: np.ndarray) -> PixelCounts:
    counts = PixelCounts()
    for row in order:
        sizes = np.full(int(masks[row].sum()), 4)
        counts.add(scores[row], masks[row], row=int(row), fold=int(row) % 2, region_sizes=sizes)
    return counts


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, P) of several powers of two and signs, and masks; every third image is normal."""
    rng = np.random.default_rng(0)
    scores = (rng.normal(size=(9, 500)) * 10.0 ** rng.integers(-3, 3, (9, 1))).astype(np.float32)
    scores[4] = np.float32(0.25)
    return scores, (rng.random((9, 500)) < 0.1) & (np.arange(9) % 3 > 0)[:, None]


@pytest.mark.parametrize("limit", [20, 4096])
def test_every_pixel_is_counted_once_in_the_bin_of_its_score(images, limit, monkeypatch) -> None:
    monkeypatch.setattr(pixel_counts, "MAX_OF_IMAGE", limit)
    scores, masks = images
    counts = counted(scores, masks, np.arange(9))
    table = counts.table()
    bits = counts.dropped_bits
    assert (bits > 0) == (limit == 20)
    distinct, bins = np.unique(sortable(scores) >> np.uint32(bits), return_inverse=True)
    assert table.n_bins == len(distinct)
    for row in range(9):
        part = slice(table.starts[row], table.starts[row + 1])
        assert part.stop - part.start <= limit
        for found, chosen in ((table.negatives, ~masks[row]), (table.positives, masks[row])):
            expected = np.bincount(bins.reshape(scores.shape)[row][chosen], minlength=table.n_bins)
            np.testing.assert_array_equal(np.bincount(table.bins[part], found[part], table.n_bins), expected)
        np.testing.assert_allclose(table.overlap[part], table.positives[part] / 4)
    np.testing.assert_array_equal(table.folds, np.arange(9) % 2)
    np.testing.assert_array_equal(table.n_positives, masks.sum(axis=1))


@pytest.mark.parametrize(("of_image", "entries"), [(30, 2_000_000), (4096, 150), (4096, 2_000_000)])
def test_bins_do_not_depend_on_the_order_of_images(images, of_image, entries, monkeypatch) -> None:
    monkeypatch.setattr(pixel_counts, "MAX_OF_IMAGE", of_image)
    monkeypatch.setattr(pixel_counts, "MAX_ENTRIES", entries)
    expected = counted(*images, np.arange(9))
    assert expected._n_entries <= entries
    for seed in range(3):
        found = counted(*images, np.random.default_rng(seed).permutation(9))
        assert found.dropped_bits == expected.dropped_bits
        for name in ("starts", "bins", "negatives", "positives", "rows", "folds"):
            np.testing.assert_array_equal(getattr(found.table(), name), getattr(expected.table(), name))


def test_no_image_gives_an_empty_table() -> None:
    table = PixelCounts().table()
    assert (table.n_bins, len(table.rows), len(table.bins)) == (0, 0, 0)


@pytest.mark.parametrize("of_image", [30, 4096])
def test_a_large_image_counted_in_pieces_has_the_counts_of_the_whole(images, of_image, monkeypatch) -> None:
    monkeypatch.setattr(pixel_counts, "MAX_OF_IMAGE", of_image)
    expected = counted(*images, np.arange(9))
    monkeypatch.setattr(pixel_counts, "PIECE", 130)
    found = counted(*images, np.arange(9))
    assert found.dropped_bits == expected.dropped_bits
    for name in ("starts", "bins", "negatives", "positives", "rows", "folds", "n_positives"):
        np.testing.assert_array_equal(getattr(found.table(), name), getattr(expected.table(), name))
    np.testing.assert_allclose(found.table().overlap, expected.table().overlap, rtol=1e-6)
