import dataclasses

import numpy as np
import pytest

from tests.benchmark.statistics.fabricated_samples import made_sample


def test_units_are_images_or_groups():
    sample = made_sample(n_good=3, n_defective=2, n_seeds=2)
    assert (sample.n_seeds, sample.n_good, sample.n_defective, sample.n_units) == (2, 3, 2, (3, 2))
    assert dataclasses.replace(sample, groups=("a", "a", "b", "b", "b")).n_units == (2, 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scores": np.zeros((1, 4))}, r"5 names of images.*scores of \(1, 4\)"),
        ({"ids": ("a", "a", "b", "c", "d")}, "1 of 5 repeat another"),
        ({"labels": np.array([0, 0, 2, 1, 1])}, r"0 \(good\) or 1 \(defective\), found \[2\]"),
        ({"scores": np.array([[0, 1, np.nan, 3, 4.0]])}, "1 of 5 scores are NaN or infinite"),
        ({"groups": ("a",)}, "5 images and 1 groups"),
    ],
)
def test_what_does_not_fit_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        dataclasses.replace(made_sample(n_good=3, n_defective=2), **change)
