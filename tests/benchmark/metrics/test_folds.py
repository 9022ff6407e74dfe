from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from benchmark.metrics.folds import stratified_folds

LABELS = [0] * 11 + [1] * 7
KINDS = ["good"] * 11 + ["scratch"] * 2 + ["hole"] * 4 + ["bent"]
IDS = [f"test/{kind}/{i:03d}.png" for i, kind in enumerate(KINDS)]


def test_folds_halve_each_label_and_each_kind() -> None:
    for seed in range(20):
        folds = stratified_folds(LABELS, seed=seed, groups=KINDS, ids=IDS)
        for values in (LABELS, KINDS):
            counts = Counter(zip(values, folds.tolist(), strict=True))
            assert all(abs(counts[value, 0] - counts[value, 1]) <= 1 for value in set(values))


def test_a_label_with_two_members_is_in_both_folds() -> None:
    for seed in range(20):
        folds = stratified_folds([0, 0, 0, 1, 1], seed=seed)
        assert set(folds[3:]) == {0, 1}


def test_folds_do_not_depend_on_the_order_of_the_input() -> None:
    folds = dict(zip(IDS, stratified_folds(LABELS, seed=4, groups=KINDS, ids=IDS), strict=True))
    order = np.random.default_rng(0).permutation(len(IDS))
    shuffled = stratified_folds(
        [LABELS[i] for i in order], seed=4, groups=[KINDS[i] for i in order], ids=[IDS[i] for i in order]
    )
    assert [folds[IDS[i]] for i in order] == shuffled.tolist()


def test_folds_differ_between_seeds() -> None:
    assert len({tuple(stratified_folds(LABELS, seed=seed)) for seed in range(10)}) > 5


def test_folds_are_equal_in_another_process() -> None:
    code = (
        "from benchmark.metrics.folds import stratified_folds;"
        f"print(stratified_folds({LABELS}, seed=3, groups={KINDS}, ids={IDS}).tolist())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == str(stratified_folds(LABELS, seed=3, groups=KINDS, ids=IDS).tolist())


def test_repeated_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 3 repeat"):
        stratified_folds([0, 0, 1], seed=0, ids=["a", "a", "b"])
    with pytest.raises(ValueError, match="3 labels"):
        stratified_folds([0, 0, 1], seed=0, ids=["a", "b"])


def test_the_images_of_a_part_are_in_one_fold_and_the_folds_halve_the_parts() -> None:
    rng = np.random.default_rng(0)
    units = [f"part {part}" for part in rng.integers(0, 30, 200)]
    bad = {f"part {part}" for part in range(9)}
    labels = [int(unit in bad and rng.random() < 0.5) for unit in units]
    kinds = ["dent" if label else "good" for label in labels]
    ids = [f"{index}.png" for index in range(200)]
    folds = stratified_folds(labels, seed=1, groups=kinds, ids=ids, units=units)
    fold_of = dict(zip(units, folds.tolist(), strict=True))
    assert [fold_of[unit] for unit in units] == folds.tolist()
    worst = {unit: max(label for label, other in zip(labels, units, strict=True) if other == unit) for unit in fold_of}
    for label in (0, 1):
        sides = Counter(fold_of[unit] for unit, other in worst.items() if other == label)
        assert abs(sides[0] - sides[1]) <= 1
    order = rng.permutation(200)
    shuffled = stratified_folds(
        [labels[i] for i in order], seed=1, groups=[kinds[i] for i in order], ids=[ids[i] for i in order],
        units=[units[i] for i in order],
    )  # fmt: skip
    assert shuffled.tolist() == folds[order].tolist()
