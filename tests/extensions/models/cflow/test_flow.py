"""CFlow's flows: anomalib's numbers and gradients, and anomalib's own way where theirs does not hold."""

import copy

import pytest
import torch
from anomalib.models.image.cflow.utils import cflow_head

from extensions.models.cflow.flow import faster


def run(flow, fibers, condition):
    """Latents, log-determinants and the gradients of fibers and parameters, by name."""
    fibers = fibers.clone().requires_grad_()
    latent, log_jacobian = flow(fibers, [condition])
    (latent.pow(3).mean() + log_jacobian.sin().mean()).backward()
    gradients = {name: one.grad for name, one in flow.named_parameters() if one.grad is not None}
    return {"latent": latent.detach(), "jacobian": log_jacobian.detach(), "fibers": fibers.grad, **gradients}


@pytest.fixture(params=[False, True], ids=["permuted", "rotated"])
def flows(request):
    torch.manual_seed(0)
    stock = cflow_head(8, 3, 1.9, 7, permute_soft=request.param).double()
    for name, parameter in stock.named_parameters():
        if "global" in name:
            torch.nn.init.normal_(parameter)
    return stock, faster(copy.deepcopy(stock))


def test_numbers_and_all_gradients_are_anomalibs(flows):
    fibers, condition = torch.randn(5, 7).double(), torch.randn(5, 8).double()
    expected, found = (run(flow, fibers, condition) for flow in flows)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, msg=name)
    assert flows[1].state_dict().keys() == flows[0].state_dict().keys()


def test_the_way_back_is_anomalibs(flows):
    latent, condition = torch.randn(5, 7).double(), torch.randn(5, 8).double()
    with torch.no_grad():
        expected, found = (flow(latent, [condition], rev=True) for flow in flows)
    torch.testing.assert_close(found, expected)


def test_tensors_loaded_later_bring_their_own_permutation(flows):
    fibers, condition = torch.randn(5, 7).double(), torch.randn(5, 8).double()
    flows[1](fibers, [condition])  # looks at its own
    other = cflow_head(8, 3, 1.9, 7).double()
    flows[1].load_state_dict(other.state_dict())
    torch.testing.assert_close(flows[1](fibers, [condition]), other(fibers, [condition]))


def test_mixed_precision_computes_as_anomalib_does(flows):
    stock, fast = (flow.float() for flow in flows)
    fibers, condition = torch.randn(5, 7), torch.randn(5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = fast(fibers, [condition]), stock(fibers, [condition])
    assert found[0].dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)
