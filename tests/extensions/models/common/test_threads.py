"""Workers compute on one thread each, and leave torch as it was."""

import torch

from extensions.models.common.threads import compute_on, one_thread_each
from extensions.models.padim.torch_model import fit_gaussians


def inverses_in_a_batch() -> torch.Tensor:
    rows = torch.randn(8, 200, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrices = rows @ rows.mT / 200 + torch.eye(200, dtype=torch.float64)
    return (torch.linalg.inv(matrices) @ matrices - torch.eye(200, dtype=torch.float64)).abs().amax()


def test_each_worker_has_one_thread_and_the_caller_keeps_its_own():
    before = torch.get_num_threads()
    with one_thread_each() as pool:
        assert set(pool.map(lambda _: torch.get_num_threads(), range(8))) == {1}
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before


def test_inverses_of_a_batch_are_right_after_workers_were_there():
    with one_thread_each() as pool:
        list(pool.map(lambda _: torch.randn(300, 300) @ torch.randn(300, 300), range(4)))
    assert inverses_in_a_batch() < 1e-9


def test_torch_computes_on_the_number_asked_for_and_its_inverses_are_right():
    before = torch.get_num_threads()
    for asked in (before + 1, 1, 2):
        compute_on(asked)
        assert torch.get_num_threads() == asked
        assert inverses_in_a_batch() < 1e-9
    compute_on(before)
    assert torch.get_num_threads() == before


def test_gaussians_of_many_channels_are_right():
    embedding = torch.randn(40, 180, 130, generator=torch.Generator().manual_seed(1))  # (N, C, P)
    _, found = fit_gaussians([embedding])
    for place in (0, 64, 129):
        covariance = torch.cov(embedding[:, :, place].T.double()) + (0.01 + 1e-5) * torch.eye(180, dtype=torch.float64)
        assert (found[place].double() @ covariance - torch.eye(180, dtype=torch.float64)).abs().amax() < 1e-2
