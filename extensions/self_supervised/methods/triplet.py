"""Triplets: a good image, itself seen otherwise, and itself with a defect drawn on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from extensions.configuration.checked_values import check_values
from extensions.data.synthetic.defects import GENERATORS, draw_defect
from extensions.models.contrastive_stfpm.views import check_view_settings
from extensions.self_supervised.images.view_dataset import ViewMaker, Views
from extensions.self_supervised.methods.method import Method

DEFECTS = ("nsa", "cutpaste")
SMALLEST_CROP = 0.5  # of an image's area


class Triplet(Method):
    """Learns to tell a good image from itself with a defect: two views of it are closer than either to the third.

    Schroff, Kalenichenko, Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering", 2015,
    https://arxiv.org/abs/1503.03832; loss and miners are those of pytorch-metric-learning. Anchor and positive are two
    views of a good image, the negative is a view of the same image on which a defect was drawn after it was
    cropped, so that the crop cannot lose it (`extensions.data.synthetic.defects`; look at them with `python -m
    extensions.self_supervised views`). Differs from the paper: its triplets are of labelled faces. Where nothing
    noticeable can be drawn (an image of one color), a view of another image is the negative.

    Args:
        backbone: timm architecture or `arch.tag`.
        projection_size: Length of an embedding.
        margin: By which the negative must be farther, in Euclidean distance of unit-length embeddings (0 to 2).
        miner: `none` takes each image's own triplet; `all`, `hard` and `semihard` take those of the whole batch,
            in which other images and their defects are negatives, too, as pytorch-metric-learning defines them.
        defects: Kinds of synthetic defects, of `extensions.data.synthetic.defects.GENERATORS`.
        views: Settings of lightly's `SimCLRViewTransform`, applied after the crop, that differ from `cj_strength: 0.25,
            gaussian_blur: 0` (a blur would hide what was drawn) and from its own defaults.
        kwargs: See `Method`.

    Raises:
        ValueError: Unknown backbone, defect or setting of the views, or a number out of range.
        WeightsError: Weights that do not fit.

    Example:
        >>> method = Triplet("resnet18", defects=["nsa"])
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        *,
        projection_size: int = 128,
        margin: float = 0.2,
        miner: Literal["none", "all", "hard", "semihard"] = "semihard",
        defects: Sequence[str] = DEFECTS,
        views: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, **kwargs)
        from lightly.models.modules import SimCLRProjectionHead
        from pytorch_metric_learning.losses import TripletMarginLoss
        from pytorch_metric_learning.miners import TripletMarginMiner

        check_values(
            projection_size=(projection_size, projection_size >= 2, "2 or more"),
            margin=(margin, 0 < margin < 2, "a distance above 0 and below 2"),
            miner=(miner, miner in ("none", "all", "hard", "semihard"), "none, all, hard or semihard"),
            defects=(defects, bool(defects) and set(defects) <= GENERATORS.keys(), f"some of {', '.join(GENERATORS)}"),
        )
        check_view_settings(views or {})
        self.view_settings = {"cj_strength": 0.25, "gaussian_blur": 0.0} | (views or {})
        self.defects = tuple(defects)
        self.head = SimCLRProjectionHead(self.n_features, self.n_features, projection_size)
        self.triplet_loss: nn.Module = TripletMarginLoss(margin=margin)
        self.miner = None if miner == "none" else TripletMarginMiner(margin=margin, type_of_triplets=miner)

    def view_maker(self, image_size: int) -> ViewMaker:
        """Anchor, positive and negative of an image."""
        return TripletViews(image_size, self.view_settings, self.normalization, self.defects)

    def loss(self, batch: Views) -> tuple[torch.Tensor, torch.Tensor]:
        """The triplet loss, and the embeddings of the anchors."""
        images = torch.cat([batch["anchor"], batch["positive"], batch["negative"]])  # (3 N, 3, H, W)
        embeddings = F.normalize(self.head(self.encoder(images)).float())  # (3 N, K)
        return self.triplet_loss(embeddings, *self._triplets(embeddings)), embeddings.chunk(3)[0]

    def _triplets(self, embeddings: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Labels (3 N,), an image's two good views sharing one, and the triplets (anchors, positives, negatives)."""
        n = len(embeddings) // 3
        own = torch.arange(n, device=embeddings.device)
        labels = torch.cat([own, own, own + n])
        if self.miner is None:
            return labels, (own, own + n, own + 2 * n)
        return labels, self.miner(embeddings, labels)


class TripletViews:
    """Two views of an image (H, W, 3) uint8 and one with a defect, each (3, size, size), normalized."""

    def __init__(
        self,
        image_size: int,
        settings: dict[str, Any],
        normalize: dict[str, list[float]] | None,
        defects: Sequence[str],
    ) -> None:
        from lightly.transforms import SimCLRViewTransform
        from torchvision.transforms import v2

        self._crop = v2.RandomResizedCrop(image_size, scale=(SMALLEST_CROP, 1.0))
        whole = {"min_scale": 1.0} | settings  # cropped already
        self._augment = SimCLRViewTransform(input_size=image_size, normalize=normalize, **whole)
        self._defects = tuple(defects)

    def __call__(self, pixels: np.ndarray, label: int, other: Callable[[], np.ndarray]) -> Views:
        """The three views."""
        image = Image.fromarray(pixels)
        anchor, positive = (self._augment(self._crop(image)) for _ in range(2))
        return {"anchor": anchor, "positive": positive, "negative": self._augment(self._defective(image, other()))}

    def _defective(self, image: Image.Image, other: np.ndarray) -> Image.Image:
        """A crop of the image with a defect on it."""
        crop = np.array(self._crop(image))
        source = np.array(self._crop(Image.fromarray(other)))
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
        try:
            return Image.fromarray(draw_defect(crop, source, rng, kinds=self._defects).image)
        except RuntimeError:  # nothing noticeable could be drawn
            return Image.fromarray(source)
