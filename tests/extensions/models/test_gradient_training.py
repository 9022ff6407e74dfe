"""Which models need a number of epochs."""

from types import SimpleNamespace

import pytest
from anomalib import LearningType
from anomalib.models import Padim as AnomalibPadim

from extensions import ConvAutoencoder, Padim, Patchcore, Stfpm
from extensions.models.common.gradient_training import is_trained_by_gradient


@pytest.mark.parametrize("kind", [Stfpm, ConvAutoencoder])
def test_a_model_that_learns_over_epochs_is(kind):
    assert is_trained_by_gradient(kind(**({} if kind is ConvAutoencoder else {"pre_trained": False})))


@pytest.mark.parametrize("kind", [Padim, Patchcore, AnomalibPadim])
def test_a_model_that_is_fitted_in_one_pass_is_not(kind):
    assert not is_trained_by_gradient(kind(pre_trained=False))


@pytest.mark.parametrize("learning_type", [LearningType.ZERO_SHOT, LearningType.FEW_SHOT])
def test_a_model_that_is_only_prompted_is_not_though_it_names_no_epochs(learning_type):
    assert not is_trained_by_gradient(SimpleNamespace(learning_type=learning_type, trainer_arguments={}))
