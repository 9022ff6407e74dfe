"""CDO's loss against the paper's formula, position by position."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from extensions.models.cdo.loss import collaborative_loss, discrepancies


def features(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"fine": (2, 5, 8, 8), "coarse": (2, 7, 4, 4)}
    return {layer: torch.randn(shape, generator=generator) for layer, shape in shapes.items()}


@pytest.fixture
def marked() -> torch.Tensor:
    """Of images of 16 px: a defect in the first one, a single pixel in the second."""
    mask = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    mask[0, 0, 4:10, 6:14] = True
    mask[1, 0, 15, 15] = True  # the nearest pixel of no position
    return mask


def slow_loss(distances: np.ndarray, mask: np.ndarray, *, gamma: float, margin: bool, overlap: bool) -> float:
    """The formula of the paper; a position is of a defect where any of its pixels is marked."""
    n_images, n_layers, height, width = distances.shape
    step = mask.shape[1] // height
    total = 0.0
    for layer in range(n_layers):
        normal, defect = [], []
        for image, row, column in itertools.product(range(n_images), range(height), range(width)):
            is_defect = mask[image, row * step : (row + 1) * step, column * step : (column + 1) * step].any()
            (defect if is_defect else normal).append(float(distances[image, layer, row, column]))
        mu_n = sum(normal) / len(normal) if normal else 1.0
        mu_s = sum(defect) / len(defect) if defect else 1.0
        above = below = 0.0
        for d in normal:
            weight = (d / mu_n) ** gamma if overlap else 1.0
            above, below = above + weight * d, below + weight
        for d in defect if margin else []:
            weight = (mu_s / d) ** gamma if overlap else 1.0
            above, below = above - weight * d, below + weight
        total += above / below
    return total


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 4.0])
@pytest.mark.parametrize(("margin", "overlap"), [(True, True), (True, False), (False, True), (False, False)])
def test_loss_is_the_formula_of_the_paper(marked, gamma, margin, overlap):
    distances = discrepancies(features(0), features(1))
    found = collaborative_loss(distances, marked, gamma=gamma, margin=margin, overlap=overlap)
    expected = slow_loss(distances.numpy(), marked[:, 0].numpy(), gamma=gamma, margin=margin, overlap=overlap)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_discrepancies_are_two_less_twice_the_cosine_at_the_first_layers_size():
    teacher, student = features(0), features(1)
    found = discrepancies(teacher, student)
    assert found.shape == (2, 2, 8, 8)
    fine = 2 - 2 * F.cosine_similarity(teacher["fine"], student["fine"])
    torch.testing.assert_close(found[:, 0], fine)
    coarse = 2 - 2 * F.cosine_similarity(teacher["coarse"], student["coarse"])  # (N, 4, 4)
    torch.testing.assert_close(found[:, 1, ::7, ::7], coarse[:, ::3, ::3])  # corners stay where they are


def test_every_setting_changes_the_loss(marked):
    distances = discrepancies(features(0), features(1))
    settings = [
        {"gamma": 2.0},
        {"gamma": 0.0},
        {"gamma": 4.0},
        {"gamma": 2.0, "margin": False},
        {"gamma": 0.0, "margin": False},
    ]
    values = [collaborative_loss(distances, marked, **one).item() for one in settings]
    assert len({round(value, 5) for value in values}) == len(values)
    without = collaborative_loss(distances, marked, gamma=2.0, overlap=False).item()
    assert without == pytest.approx(values[1])


def test_descent_lowers_normal_distances_and_raises_those_of_defects(marked):
    distances = torch.full((2, 1, 16, 16), 0.5).add(torch.rand(2, 1, 16, 16) / 10).requires_grad_()
    collaborative_loss(distances, marked).backward()
    assert (distances.grad[~marked] > 0).all()
    assert (distances.grad[marked] < 0).all()
    hard = distances.detach()[~marked].argmax()
    assert distances.grad[~marked].argmax() == hard, "the hardest normal position counts most"


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("share", ["nothing", "everything"])
def test_batch_without_defects_or_without_normal_positions_has_a_finite_loss(gamma, share):
    marked = torch.full((2, 1, 8, 8), share == "everything")
    distances = torch.rand(2, 3, 8, 8, requires_grad=True)
    loss = collaborative_loss(distances, marked, gamma=gamma)
    loss.backward()
    assert loss.isfinite()
    assert distances.grad.isfinite().all()
    assert loss < 0 if share == "everything" else loss > 0


def test_defect_on_which_student_and_teacher_agree_has_a_finite_loss(marked):
    teacher = features(0)
    student = {layer: feature.clone().requires_grad_() for layer, feature in teacher.items()}
    loss = collaborative_loss(discrepancies(teacher, student), marked, gamma=4.0)
    loss.backward()
    assert loss.isfinite()
    assert all(feature.grad.isfinite().all() for feature in student.values())
