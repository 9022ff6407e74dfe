"""Batch normalization whose running statistics are those of the weights that a training ended with."""

from collections.abc import Iterable

import torch
from torch import nn


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Estimate the running mean and variance of every batch normalization anew, the weights fixed.

    Running statistics trail the weights: with a large learning rate they fit none of the last steps, and a network is
    another in eval mode than it was in training. Averages over the batches, all of equal weight, as
    `torch.optim.swa_utils.update_bn` takes them.

    Args:
        network: Left in the mode in which it was.
        batches: Images (N, 3, H, W) as the network sees them in training; none changes nothing.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = {norm: norm.momentum for norm in norms}
    was_training = network.training
    network.train()
    is_first = True
    try:
        for images in batches:
            if is_first:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None  # an average of all
                is_first = False
            network(images)
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum
        network.train(was_training)
