"""Whole images scored tile by tile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from anomalib.data import InferenceBatch

from extensions.data.cutting import cut_of, fill_in_unit
from extensions.data.imaging import Imaging
from extensions.data.tiling.resizing import resized_image
from extensions.data.tiling.settings import Tiling
from extensions.data.tiling.stitching import Stitching, tiles_at_once
from extensions.models.common.score_pooling import pooling_of

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule


def raw_scores(model: AnomalibModule, images: torch.Tensor) -> InferenceBatch:
    """What a trained model says of images as they are read: all of its pre-processing, its tiles and its network.

    Args:
        model: Any; one of ours may have been trained on tiles.
        images: (N, 3, H, W) in 0 to 1.

    Returns:
        pred_score (N,) and anomaly_map (N, 1, h, w), raw, before a post-processor; the map of a model that was trained
        on tiles has the size of the image, or that of `Tiling.resize`.
    """
    tiling = tiling_of(model)
    transform = getattr(model.pre_processor, "transform", None)
    if tiling is None:
        found: InferenceBatch = model.model(images if transform is None else transform(images))
        return found
    return tiled_scores(model.model, images, imaging=model.imaging, transform=transform)


def tiling_of(model: Any) -> Tiling | None:
    """The tiles that a model is for; None for one of whole images."""
    found: Tiling | None = model.imaging.tiling if hasattr(model, "imaging") else None
    return found


def tiled_scores(
    network: torch.nn.Module, images: torch.Tensor, *, imaging: Imaging, transform: Any = None
) -> InferenceBatch:
    """Score whole images by their tiles, some tiles at a time, an image after the other.

    A tile is what an image is to the network: pre-processed alone, so that one is resized to another size where the
    network wants it, and its map back. An image scores what its highest tile scores, or, by
    `score_pooling`, what its whole map gives.

    Memory: beside the images one map (H, W) an image and a batch of about a million pixels in the network.

    Args:
        network: Of images (N, 3, h, w); its eval forward gives an `InferenceBatch`.
        images: (N, 3, H, W) in 0 to 1.
        imaging: How they are cut, and which of them are looked at.
        transform: What prepares a batch of tiles.

    Raises:
        ValueError: An image is smaller than a tile, or of another size than the region of interest.
    """
    scored = [_scored(network, image, imaging, transform) for image in images]
    scores = images.new_tensor([one.score for one in scored])
    maps = [torch.from_numpy(one.anomaly_map) for one in scored if one.anomaly_map is not None]
    return InferenceBatch(pred_score=scores, anomaly_map=torch.stack(maps)[:, None].to(images.device) if maps else None)


def _scored(network: torch.nn.Module, image: torch.Tensor, imaging: Imaging, transform: Any) -> Stitching:
    """One image (3, H, W)."""
    height, width = image.shape[-2:]
    cut, tiling = cut_of(imaging, (height, width)), imaging.tiling
    assert tiling is not None
    if tiling.resize is not None:
        image = resized_image(image, tiling.resize)
    if cut.inside is not None:
        inside, fill = torch.from_numpy(cut.inside).to(image.device), torch.from_numpy(fill_in_unit(imaging)).to(image)
        image = torch.where(inside, image, fill[:, None, None])
    stitching, at_once = Stitching(cut.grid, pooling_of(network)), tiles_at_once(tiling.tile)
    for first in range(0, len(cut.kept), at_once):
        kept = cut.kept[first : first + at_once]
        boxes = [cut.grid.box(index) for index in kept]
        tiles = torch.stack([image[:, rows, columns] for rows, columns in boxes])  # (n, C, h, w)
        found = network(tiles if transform is None else transform(tiles))
        maps = found.anomaly_map
        stitching.add(
            kept,
            found.pred_score.detach().float().cpu().numpy().reshape(-1),
            None if maps is None else maps.detach().float().cpu().numpy().reshape(-1, *maps.shape[-2:]),
        )
    stitching.leave(cut.inside)
    return stitching
