"""How well images lie on each other, against slow loops and made plates."""

from __future__ import annotations

import numpy as np
import pytest

import extensions
from extensions.data.checks import position_check as checks
from extensions.data.checks.position_check import Position, needs_alignment, position_check, position_score
from tests.turned_plates import write_plates


def slow_score(features: np.ndarray) -> float:
    n, c = features.shape[:2]
    values = features.reshape(n, c, -1)
    values = (values - values.mean(axis=(0, 2), keepdims=True)) / values.std(axis=(0, 2), keepdims=True)
    same, shuffled = [], []
    for i in range(n):
        for j in range(n):
            if i != j:
                for p in range(values.shape[2]):
                    same.append(((values[i, :, p] - values[j, :, p]) ** 2).mean())
                    shuffled += [((values[i, :, p] - values[j, :, q]) ** 2).mean() for q in range(values.shape[2])]
    return 1 - float(np.mean(same) / np.mean(shuffled))


def test_the_score_is_that_of_a_slow_loop_over_pairs_of_images_and_places():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4, 3, 2, 3)) + 2 * rng.normal(size=(1, 3, 2, 3))
    assert position_score(features) == pytest.approx(slow_score(features), abs=1e-9)


def test_equal_images_have_1_and_shuffled_places_0():
    rng = np.random.default_rng(0)
    places = rng.normal(size=(1, 8, 16, 16))
    assert position_score(np.repeat(places, 6, axis=0)) == pytest.approx(1.0)
    shuffled = np.stack([places[0].reshape(8, -1)[:, rng.permutation(256)].reshape(8, 16, 16) for _ in range(6)])
    assert position_score(shuffled) < 0.02
    assert position_score(rng.normal(size=(6, 8, 16, 16))) < 0.02


def test_places_outside_of_a_region_do_not_count():
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(1, 4, 8, 8)), 5, axis=0)
    features[:, :, 4:] = rng.normal(size=(5, 4, 4, 8))
    inside = np.zeros((8, 8), bool)
    inside[:4] = True
    assert position_score(features) < 0.7
    assert position_score(features, inside) == pytest.approx(1.0)


def test_what_a_finding_means():
    assert Position(0.9, 0.92, 0.0, 16).is_aligned
    assert Position(0.6, None, None, 16).is_aligned
    assert not Position(0.1, None, None, 16).is_aligned
    assert Position(0.65, 0.63, 0.3, 16).is_aligned  # registration that makes nothing better found nothing
    turned = Position(0.9, 0.95, 0.75, 16)
    assert not turned.is_aligned
    assert "align: true" in turned.sentence
    assert "75%" in turned.sentence
    texture = Position(0.1, None, None, 16)
    assert texture.says_little
    assert not texture.lies_differently
    assert not turned.says_little
    assert "no matter for a texture" in texture.sentence


def test_turned_plates_are_told_and_aligning_them_helps(tmp_path):
    found = {}
    for name, is_turned, align in (("upright", False, None), ("turned", True, None), ("aligned", True, True)):
        root = write_plates(tmp_path / name, is_turned=is_turned)
        found[name] = position_check(extensions.MVTecAD(root, "", name=name, num_workers=0, align=align))
    assert [one.is_aligned for one in found.values()] == [True, False, True]
    assert found["turned"].lies_differently
    assert found["turned"].score < found["aligned"].score < found["upright"].score + 0.05
    assert found["turned"].registered > found["turned"].score + 0.1


def test_without_weights_at_hand_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "BACKBONE", "tf_efficientnet_b7")
    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(tmp_path))
    root = write_plates(tmp_path / "plates")
    found = position_check(extensions.MVTecAD(root, "", name="plates", num_workers=0))
    assert isinstance(found, str)
    assert "tf_efficientnet_b7" in found


def test_few_images_and_tiles_are_not_judged(tmp_path):
    root = write_plates(tmp_path / "few", n_train=3)
    assert "too few" in position_check(extensions.MVTecAD(root, "", name="few", num_workers=0))
    tiled = extensions.MVTecAD(root, "", name="few", num_workers=0, tiling={"tile": 64})
    assert "tiles" in position_check(tiled)


def test_which_detectors_are_bound_to_places():
    from anomalib.models import Dfm as StockDfm
    from anomalib.models import Padim as StockPadim

    arguments = {"backbone": "test_resnet", "pre_trained": False, "evaluator": False, "visualizer": False}
    bound = {
        name
        for name in ("Padim", "Dfm", "Patchcore", "Stfpm", "Cflow", "RegAd")
        if getattr(extensions, name).needs_alignment
    }
    assert bound == {"Padim", "Dfm", "Cflow", "RegAd"}
    assert needs_alignment(extensions.Padim(**arguments))
    assert not needs_alignment(extensions.Patchcore(**arguments))
    assert needs_alignment(StockPadim(pre_trained=False))
    assert needs_alignment(StockDfm("test_resnet", "layer3", pre_trained=False))
