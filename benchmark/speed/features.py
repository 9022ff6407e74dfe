"""Patch features to measure speed on: made up like a product's, or of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmark.speed.settings import Settings

BATCH_SIZE = 16


def made_up_embedding(n_images: int = 209, *, side: int = 28, n_channels: int = 384, seed: int = 0) -> torch.Tensor:
    """Embeddings of images of one product: alike at the same place, smooth over places, a little off in each image.

    The sizes are those of MVTec AD's bottle with ResNet-18 at 224 px: 209 images of 28 x 28 patches.

    Args:
        n_images: Images to make up.
        side: Patches along each side of an image.
        n_channels: Channels of a patch.
        seed: Another seed, another product.

    Returns:
        (n_images * side * side, n_channels) float32, not negative, as features behind a ReLU are.
    """
    rng = np.random.default_rng(seed)
    n_latent = 24
    waves = rng.normal(size=(2, n_latent)) * 3
    rows, columns = np.mgrid[0:side, 0:side].reshape(2, -1) / side  # (side²,) each
    place = np.sin(np.stack([rows, columns], axis=1) @ waves * 2 + rng.uniform(0, 6, n_latent))  # (side², n_latent)
    image = 0.15 * rng.normal(size=(n_images, 1, n_latent))
    spread = 0.1 * rng.exponential(size=(n_images, side * side, 1))
    latent = place + image + spread * rng.normal(size=(n_images, side * side, n_latent))
    mixing = (rng.normal(size=(n_latent, n_channels)) / np.sqrt(n_latent)).astype(np.float32)
    embedding = latent.reshape(-1, n_latent).astype(np.float32) @ mixing
    embedding += 0.05 * rng.standard_normal(embedding.shape, dtype=np.float32)
    return torch.from_numpy(np.maximum(embedding, 0, out=embedding))


def image_embedding(images: Sequence[Path], settings: Settings) -> torch.Tensor:
    """Embeddings that PatchCore collects from images, by anomalib's own network: (n_patches, n_channels) float32."""
    from benchmark.speed.models import our_patchcore, stock_patchcore

    ours = our_patchcore(settings)
    ours.setup("fit")
    network, transform = stock_patchcore(ours).model.train(), ours.pre_processor.transform
    with torch.no_grad():
        return torch.cat(
            [
                network(torch.cat([transform(_read(path)) for path in images[i : i + BATCH_SIZE]]))
                for i in range(0, len(images), BATCH_SIZE)
            ]
        )


def _read(path: Path) -> torch.Tensor:
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]  # (1, 3, H, W)
