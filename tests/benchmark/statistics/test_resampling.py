import subprocess
import sys

import numpy as np
import pytest

from benchmark.statistics.resampling import resample_counts

LABELS = np.repeat([0, 1], [7, 5])
IDS = [f"part/{i}.png" for i in range(12)]
FIRST_DRAW = [0, 0, 2, 0, 0, 3, 2, 1, 1, 2, 1, 0]


def test_every_resample_holds_as_many_of_each_label():
    counts = resample_counts(LABELS, IDS)
    assert counts.shape == (1000, 12)
    assert (counts[:, LABELS == 0].sum(axis=1) == 7).all()
    assert (counts[:, LABELS == 1].sum(axis=1) == 5).all()


def test_images_are_drawn_alike_often():
    counts = resample_counts(LABELS, IDS, n_resamples=20_000)
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.04)
    np.testing.assert_allclose(counts[:, :7].var(axis=0), 6 / 7, atol=0.06)  # of a binomial number, 7 draws of 1 in 7


def test_order_of_images_plays_no_part():
    order = np.random.default_rng(0).permutation(12)
    shuffled = resample_counts(LABELS[order], [IDS[i] for i in order])
    np.testing.assert_array_equal(shuffled, resample_counts(LABELS, IDS)[:, order])


def test_another_process_draws_the_same():
    code = (
        "import numpy as np; from benchmark.statistics.resampling import resample_counts;"
        "print(resample_counts(np.repeat([0, 1], [7, 5]), [f'part/{i}.png' for i in range(12)])[:3].tolist())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(resample_counts(LABELS, IDS)[:3].tolist())


def test_draws_stay_as_they_were_when_pixel_resamples_were_stored():
    assert resample_counts(LABELS, IDS)[0].tolist() == FIRST_DRAW


def test_another_seed_or_another_set_of_images_draws_others():
    first = resample_counts(LABELS, IDS)
    assert (first != resample_counts(LABELS, IDS, seed=1)).any()
    assert (first != resample_counts(LABELS, [f"other/{name}" for name in IDS])).any()


def test_groups_are_drawn_whole_and_replaced_by_groups_of_the_same_labels():
    groups = ["a", "a", "b", "b", "c", "d", "d", "d", "d", "e", "f", "f"]  # a to c good, d mixed, e and f defective
    counts = resample_counts(LABELS, IDS, groups=groups, n_resamples=200)
    for members in ([0, 1], [2, 3], [5, 6, 7, 8], [10, 11]):
        assert (counts[:, members] == counts[:, members[:1]]).all()
    assert (counts[:, 5] == 1).all()  # no other group holds both labels
    assert (counts[:, [0, 2, 4]].sum(axis=1) == 3).all()


def test_repeated_names_are_refused():
    with pytest.raises(ValueError, match="2 labels, 2 groups and 2 ids, 1 of them different"):
        resample_counts([0, 1], ["a", "a"])
