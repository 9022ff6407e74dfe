"""What strategies may look at: asked for late, checked, kept."""

import numpy as np
import pytest
import torch

from extensions.refinement import Evidence, EvidenceError
from extensions.refinement.evidence import pooled

NAMES = ["b.png", "a.png", "c.png"]


def evidence(**sources) -> Evidence:
    return Evidence(NAMES, rng=np.random.default_rng(0), **sources)


def test_a_source_is_asked_once_and_not_before_it_is_needed():
    asked = []

    def patches() -> torch.Tensor:
        asked.append(1)
        return torch.ones(3, 4, 2)

    seen = evidence(patches=patches)
    assert not asked
    assert seen.patches().shape == (3, 4, 2)
    seen.patches()
    seen.embeddings()
    assert len(asked) == 1


def test_embeddings_are_mean_and_standard_deviation_of_the_patches():
    patches = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    found = evidence(patches=patches).embeddings()
    np.testing.assert_allclose(found, np.concatenate([patches.mean(1), patches.std(1)], axis=1), rtol=1e-5)
    assert found.dtype == np.float32
    assert pooled(patches[:0]).shape == (0, 4)


def test_embeddings_that_are_given_are_taken():
    given = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(evidence(patches=np.ones((3, 4, 2)), embeddings=given).embeddings(), given)


def test_images_are_drawn_in_the_order_of_their_names():
    assert evidence().order.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("patches", np.ones((2, 4, 2))),
        ("contrastive", np.ones((3, 4, 2))),
        ("views", np.ones((3, 2, 4))),
        ("discrepancy", np.ones((3, 1))),
    ],
)
def test_a_wrong_shape_is_an_error_that_names_it(what, given):
    with pytest.raises(EvidenceError, match=f"{what} has shape .*; expected .*3 images"):
        getattr(evidence(**{what: given}), what)()


@pytest.mark.parametrize("what", ["patches", "views", "discrepancy"])
def test_a_number_that_is_not_finite_is_an_error_that_names_the_image(what):
    given = {"patches": np.ones((3, 4, 2)), "views": np.ones((2, 3, 4)), "discrepancy": np.ones(3)}[what]
    given[(0, 2, 1) if what == "views" else 2] = np.nan
    with pytest.raises(EvidenceError, match=f"{what} of c.png is not finite"):
        getattr(evidence(**{what: given}), what)()


def test_the_truth_may_be_unknown():
    assert evidence().injected is None
    assert evidence(injected=[0, 1, 0]).injected.tolist() == [False, True, False]


@pytest.mark.parametrize("arguments", [{"temperature": 0.0}, {"batch_size": 1}])
def test_an_argument_out_of_range_is_an_error_that_names_it(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} is .*; expected"):
        evidence(**arguments)
