"""Whether the best trial is above the default by more than chance."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.statistics.comparison import compare
from benchmark.statistics.sample import Sample
from benchmark.tune.kept_scores import keep_scores, kept_scores, scores_file
from benchmark.tune.lead import lead_of, sample_of, separation_influences
from benchmark.tune.objective import separation


def sample(good: list[float], bad: list[float]) -> Sample:
    labels = [0] * len(good) + [1] * len(bad)
    names = [f"{number:03}" for number in range(len(labels))]
    return sample_of(pd.DataFrame({"image": names, "label": labels, "score": [*good, *bad]}))


DEFAULT = sample([0, 1, 2], [3, 1.5])
BETTER = sample([0, 1, 2], [5, 4])


def random_sample(seed: int, shift: float = 1.0) -> Sample:
    rng = np.random.default_rng(seed)
    return sample(rng.normal(size=40).tolist(), rng.normal(shift, 1.5, size=20).tolist())


def test_difference_and_standard_error_by_hand() -> None:
    # Placements of the default: bad 1 and 2/3, good 1, 1 and 1/2; of the other all 1. Differences: bad 0 and 1/3 with
    # variance 1/18, good 0, 0 and 1/2 with variance 1/12.
    lead = lead_of([BETTER], [DEFAULT])
    assert lead.image_AUROC == pytest.approx(1 / 6)
    assert lead.standard_error == pytest.approx(math.sqrt(1 / 18 / 2 + 1 / 12 / 3))
    assert not lead.is_enough
    assert lead.told == "the best trial is 0.1667 above, one standard error is 0.2357"


def test_several_data_sets_count_by_their_mean_whose_error_is_smaller() -> None:
    one, several = lead_of([BETTER], [DEFAULT]), lead_of([BETTER] * 4, [DEFAULT] * 4)
    assert several.image_AUROC == pytest.approx(one.image_AUROC)
    assert several.standard_error == pytest.approx(math.sqrt(4 * one.standard_error**2) / 4)
    assert several.is_enough


def test_the_standard_error_is_that_of_the_comparison_of_two_rows() -> None:
    first, second = random_sample(0, 2.0), random_sample(1)
    lead, known = lead_of([first], [second]), compare([first], [second], metric="image_AUROC")
    assert lead.image_AUROC == pytest.approx(known.difference)
    assert 1.959964 * lead.standard_error == pytest.approx((known.high - known.low) / 2)


def test_a_setting_that_is_no_better_is_not_taken() -> None:
    assert not lead_of([DEFAULT], [DEFAULT]).is_enough
    assert not lead_of([DEFAULT], [BETTER]).is_enough
    swapped = lead_of([sample([0, 1, 2], [1.5, 3])], [DEFAULT])
    assert (swapped.image_AUROC, swapped.by_separation, swapped.is_enough) == (0, False, False)


def test_where_all_ranks_are_equal_the_separation_decides_by_its_own_standard_error() -> None:
    near = sample([0, 1, 0, 1, 0, 1], [2, 3, 2, 3, 2, 3])
    far = sample([0, 1, 0, 1, 0, 1], [8, 9, 8, 9, 8, 9])
    hardly = sample([0, 1, 0, 1, 0, 1], [2.1, 3.1, 2, 3, 1.95, 3.4])
    assert lead_of([far], [near]).is_enough
    assert not lead_of([near], [far]).is_enough
    close = lead_of([hardly], [near])
    assert (close.by_separation, close.is_enough) == (True, False)
    assert "ranks every image as the default does" in close.told


def test_influences_on_the_separation_are_its_derivatives_by_the_weight_of_an_image() -> None:
    found = random_sample(3)
    labels, scores = found.labels, found.scores[0]

    def weighted(weights: np.ndarray) -> float:
        means, variances = [], []
        for label in (0, 1):
            share = weights[labels == label] / weights[labels == label].sum()
            means.append(share @ scores[labels == label])
            variances.append(share @ (scores[labels == label] - means[-1]) ** 2)
        return float((means[1] - means[0]) / math.sqrt(sum(variances) / 2))

    assert weighted(np.ones(len(scores))) == pytest.approx(separation(labels, scores))
    influence = separation_influences(found)
    assert influence.sum() == pytest.approx(0, abs=1e-9)
    for number in range(len(scores)):
        step = 1e-5 * (np.arange(len(scores)) == number)
        assert influence[number] == pytest.approx((weighted(1 + step) - weighted(1 - step)) / 2e-5, abs=1e-6)


def test_the_error_of_the_separation_is_that_of_resamples() -> None:
    first, second, rng = random_sample(4, 3.0), random_sample(5), np.random.default_rng(0)
    drawn = []
    for _ in range(2000):
        rows = np.concatenate([rng.choice(np.flatnonzero(first.labels == label), (first.labels == label).sum())
                               for label in (0, 1)])  # fmt: skip
        drawn.append(np.subtract(*(separation(one.labels[rows], one.scores[0][rows]) for one in (first, second))))
    assert lead_of([first], [second]).separation_error == pytest.approx(np.std(drawn), rel=0.15)


def test_one_defect_gives_no_standard_error_and_the_default_stays() -> None:
    lead = lead_of([sample([0, 1], [3])], [sample([0, 1], [-1])])
    assert not lead.is_enough
    assert "gives no standard error" in lead.told


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="not judged by the same images"):
        lead_of([sample([0, 1], [2, 3])], [sample([0, 1, 2], [3])])


def test_kept_scores_are_what_they_were(tmp_path: Path) -> None:
    frames = [pd.DataFrame({"image": ["b, c.png", "NA", "ü\n.png"], "label": [1, 0, 1], "kind": "x", "score": scores})
              for scores in ([0.1 + 0.2, 1e-30, 1 / 3], [1.0, 2.0, 3.0])]  # fmt: skip
    path = scores_file(tmp_path, "Padim 2", 7)
    keep_scores(path, frames)
    for read, frame in zip(kept_scores(path), frames, strict=True):
        given = sample_of(frame)
        assert read.ids == given.ids
        assert (read.scores == given.scores).all()
        assert (read.labels == given.labels).all()
