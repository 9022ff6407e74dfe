"""The two losses: how far a student is from its teacher, and how well it tells images apart."""

import torch
from torch import nn
from torch.nn import functional as F

Features = dict[str, torch.Tensor]


def matching_loss(teacher: Features, student: Features) -> torch.Tensor:
    """Distance of a student's features from its teacher's, one value an image.

    The squared distance of the two unit-length feature vectors, averaged over the positions of a layer and summed over
    layers: the loss of Wang et al. 2021 as their code computes it (https://github.com/gdwang08/STFPM), which averages
    it over the batch. Anomalib halves it and sums it over the batch, so that a batch of 32 steps 16 times as far.

    Args:
        teacher: For each layer (N, C, h, w).
        student: Likewise.

    Returns:
        (N,), 0 to 4 a layer, higher is more anomalous.
    """
    distances = [
        (F.normalize(teacher[layer]) - F.normalize(student[layer])).square().sum(dim=1).mean(dim=(1, 2))
        for layer in teacher
    ]  # (N,) a layer
    return torch.stack(distances).sum(dim=0)  # (N,)


def contrastive_loss(*, temperature: float, queue_size: int, projection_size: int) -> nn.Module:
    """Build lightly's NT-Xent loss: two views of one image attract, views of others repel each other.

    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", 2020,
    https://arxiv.org/abs/2002.05709. With a queue it is the loss of He et al., "Momentum Contrast", 2020,
    https://arxiv.org/abs/1911.05722, without their momentum encoder: the first view of each image is told from the
    past embeddings in the queue instead of from the batch. The queue starts with random directions and takes the second
    views of each batch; an image's own embedding of an earlier epoch can be among them.

    Args:
        temperature: Divides the cosine similarities.
        queue_size: Past embeddings to compare with; 0 compares within the batch.
        projection_size: Length of an embedding.

    Returns:
        A module `(first, second) -> loss`, both (N, projection_size).
    """
    from lightly.loss import NTXentLoss

    with torch.random.fork_rng(devices=[]):  # the queue's first content must not change what a seed gives
        return NTXentLoss(temperature=temperature, memory_bank_size=(queue_size, projection_size) if queue_size else 0)
