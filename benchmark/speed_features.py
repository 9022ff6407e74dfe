"""Patch features to measure speed on: made up like a product's, or from a folder of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
BATCH_SIZE = 16


def made_up_embedding(n_pictures: int = 209, *, side: int = 28, n_channels: int = 384, seed: int = 0) -> torch.Tensor:
    """Embeddings of pictures of one product: alike at the same place, smooth over places, a little off in each picture.

    The sizes are those of MVTec AD's bottle with ResNet-18 at 224 px: 209 pictures of 28 x 28 patches.

    Args:
        n_pictures: Pictures to make up.
        side: Patches along each side of a picture.
        n_channels: Channels of a patch.
        seed: Another seed, another product.

    Returns:
        (n_pictures * side * side, n_channels) float32, not negative, as features behind a ReLU are.
    """
    rng = np.random.default_rng(seed)
    n_latent = 24
    waves = rng.normal(size=(2, n_latent)) * 3
    rows, columns = np.mgrid[0:side, 0:side].reshape(2, -1) / side  # (side²,) each
    place = np.sin(np.stack([rows, columns], axis=1) @ waves * 2 + rng.uniform(0, 6, n_latent))  # (side², n_latent)
    picture = 0.15 * rng.normal(size=(n_pictures, 1, n_latent))
    spread = 0.1 * rng.exponential(size=(n_pictures, side * side, 1))
    latent = place + picture + spread * rng.normal(size=(n_pictures, side * side, n_latent))
    mixing = (rng.normal(size=(n_latent, n_channels)) / np.sqrt(n_latent)).astype(np.float32)
    embedding = latent.reshape(-1, n_latent).astype(np.float32) @ mixing
    embedding += 0.05 * rng.standard_normal(embedding.shape, dtype=np.float32)
    return torch.from_numpy(np.maximum(embedding, 0, out=embedding))


def picture_embedding(folder: Path, *, backbone: str = "resnet18", image_size: int = 224) -> torch.Tensor:
    """Embeddings PatchCore would collect from the pictures in a folder.

    Args:
        folder: Pictures, not searched recursively.
        backbone: timm name; its weights are looked for as everywhere.
        image_size: Height and width in px that pictures are resized to.

    Returns:
        (n_patches, n_channels) float32.

    Raises:
        FileNotFoundError: There are no pictures in the folder.
    """
    from extensions import Patchcore

    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        msg = f"{folder}: no pictures in it, expected files ending in {', '.join(SUFFIXES)}."
        raise FileNotFoundError(msg)
    model = Patchcore(backbone, image_size=image_size)
    model.setup("fit")  # where missing weights are told
    model.model.train()
    with torch.no_grad():
        return torch.cat(
            [
                model.model(
                    torch.cat([model.pre_processor.transform(_read(path)) for path in paths[i : i + BATCH_SIZE]])
                )
                for i in range(0, len(paths), BATCH_SIZE)
            ]
        )


def _read(path: Path) -> torch.Tensor:
    from PIL import Image

    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"), np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]  # (1, 3, H, W)
