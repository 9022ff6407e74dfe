"""An error of a library says what was being done; ours stay as they are."""

from __future__ import annotations

import pytest
import torch

from extensions.models.padim.torch_model import fit_gaussians
from extensions.runtime.explained import explained, is_ours, step


def caught(work, *arguments) -> Exception:
    try:
        work(*arguments)
    except Exception as error:
        return error
    pytest.fail("nothing was raised")


def test_a_sentence_of_ours_stays_as_it_is() -> None:
    error = caught(fit_gaussians, [torch.zeros(1, 2, 3)])
    assert is_ours(error)
    assert explained(error, what="Padim") == "PaDiM needs at least 2 training images to estimate a covariance, found 1."


def test_an_operation_that_fails_in_our_code_is_no_sentence() -> None:
    error = caught(fit_gaussians, [torch.zeros(4, 3)])
    assert not is_ours(error)
    assert explained(error, what="Padim").startswith("Padim: ValueError: not enough values")


def test_the_innermost_step_is_told_with_model_and_kind() -> None:
    with pytest.raises(KeyError) as error, step("run"), step("fit"):
        {}["/a/path.png"]
    assert explained(error.value, what="Padim") == "Padim, fit: KeyError: '/a/path.png'"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("Expected more than 1 value per channel when training, got input size [1, 8, 1, 1]", "train_batch_size"),
        ("CUDA out of memory. Tried to allocate 2 GiB", "lower train_batch_size"),
        ("Argument #4: Padding size should be less than the input dimension", "larger image_size"),
    ],
)
def test_what_is_known_has_its_remedy(text: str, remedy: str) -> None:
    told = explained(RuntimeError(text), what="Stfpm")
    assert told.startswith(f"Stfpm: RuntimeError: {text}; ")
    assert remedy in told


def test_of_a_loading_process_the_error_is_told_and_not_its_traceback() -> None:
    text = "Caught OSError in DataLoader worker process 0.\nOriginal Traceback:\n  File x\nOSError: a.png is gone"
    assert explained(RuntimeError(text), what="Padim") == "Padim: OSError: a.png is gone"


def test_a_name_that_is_not_utf8_can_be_written() -> None:
    assert explained(KeyError("\udcdf.png")).encode()
