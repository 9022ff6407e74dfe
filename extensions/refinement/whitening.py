"""Patch features brought to one scale: what varies much among all patches counts no more than what varies little."""

import numpy as np
import torch

N_COMPONENTS = 128
FLOOR = 0.03  # of the mean variance, added to that of each component so that noise is not blown up
N_SAMPLED = 20_000  # patches that the components are taken from


def whitened(patches: np.ndarray, *, rng: np.random.Generator) -> torch.Tensor:
    """Patches by their principal components, each divided by its standard deviation.

    Euclidean distances between the results are Mahalanobis distances under the covariance of all patches.

    Args:
        patches: (N, P, C).
        rng: Draws the patches that the covariance is taken from.

    Returns:
        (N, P, at most 128) float32.
    """
    n_images, n_patches, n_channels = patches.shape
    rows = torch.as_tensor(patches, dtype=torch.float32).reshape(-1, n_channels)
    drawn = np.sort(rng.choice(len(rows), min(N_SAMPLED, len(rows)), replace=False))
    sample = rows[torch.from_numpy(drawn)].double()
    center = sample.mean(dim=0)
    covariance = (sample - center).T @ (sample - center) / len(sample)
    variances, axes = (part.flip(-1)[..., :N_COMPONENTS] for part in torch.linalg.eigh(covariance))
    variances = variances.clamp_min(0) + FLOOR * covariance.trace() / n_channels
    rounding = 1e-10 * float(sample.square().mean()) + 1e-30  # all that varies among patches that are equal
    scaled = axes / variances.clamp_min(rounding).sqrt()
    return ((rows - center.float()) @ scaled.float()).reshape(n_images, n_patches, -1)
