"""Relative patch position."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from extensions.self_supervised.images.view_dataset import ViewMaker, Views
from extensions.self_supervised.methods.method import Method

N_POSITIONS = 8
PATCH = 0.75  # of a cell's side


class RelativePosition(Method):
    """Learns what belongs where: on which of eight sides of one patch another one lies.

    Doersch, Gupta, Efros, "Unsupervised Visual Representation Learning by Context Prediction", 2015,
    https://arxiv.org/abs/1505.05192, as Yi and Yoon use it in "Patch SVDD", 2020, https://arxiv.org/abs/2006.16067:
    eight classes, told from the difference of the two patches' features. The image is a grid of 3 x 3 cells, a patch
    lies somewhere within its cell, three quarters of its side, so that lines which go on from one to the next do not
    give the answer away; the brightness of each channel is shifted for each patch, for the same reason. Differs from
    Patch SVDD: without its second loss, that near patches have like features.

    Images that look alike everywhere, such as fine textures, have nothing to learn here: the loss stays at ln 8.

    Args:
        backbone: timm architecture or `arch.tag`.
        hidden_size: Of the classifier's two hidden layers.
        shift: Largest shift of a channel, of 1.
        kwargs: See `Method`.

    Raises:
        ValueError: Unknown backbone, or a number out of range.
        WeightsError: Weights that do not fit.

    Example:
        >>> method = RelativePosition("resnet18")
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        *,
        hidden_size: int = 128,
        shift: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, **kwargs)
        if hidden_size < 1 or not 0 <= shift < 1:
            msg = f"hidden_size is {hidden_size}, shift is {shift}; expected 1 or more, and 0 to less than 1"
            raise ValueError(msg)
        self.shift = shift
        sizes = (self.n_features, hidden_size, hidden_size)
        hidden = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.LeakyReLU())]
        self.classifier = nn.Sequential(*hidden, nn.Linear(hidden_size, N_POSITIONS))

    def view_maker(self, image_size: int) -> ViewMaker:
        """Two patches of an image and their relative position."""
        return NeighborPatches(image_size, self.shift, self.normalization)

    def loss(self, batch: Views) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of the position, and the features of the first patches; logs the share that is right."""
        first, second = self.encoder(torch.cat([batch["first"], batch["second"]])).chunk(2)  # (N, K) each
        logits = self.classifier(second - first)  # (N, 8)
        right = (logits.argmax(dim=1) == batch["position"]).float().mean()
        self.log("train_accuracy", right, on_step=False, on_epoch=True, batch_size=len(logits))
        return F.cross_entropy(logits, batch["position"]), first


class NeighborPatches:
    """The middle patch of an image (H, W, 3) uint8, one of its neighbors, and on which side that lies.

    Positions are counted row by row from the upper left, the middle left out: 0 to 7.
    """

    def __init__(self, image_size: int, shift: float, normalize: dict[str, list[float]]) -> None:
        self._cell = max(8, image_size // 2)
        self._patch = max(8, round(PATCH * self._cell))
        self._shift = shift
        self._normalize = v2.Normalize(**normalize)

    def __call__(self, image: np.ndarray, label: int, other: Callable[[], np.ndarray]) -> Views:
        """The patches, each (3, h, w), normalized, and the position, a scalar."""
        side = 3 * self._cell
        whole = TF.to_image(Image.fromarray(image))
        if min(whole.shape[-2:]) < side:
            whole = TF.resize(whole, [side], antialias=True)
        whole = v2.RandomCrop(side)(whole)  # (3, side, side)
        position = int(torch.randint(N_POSITIONS, ()))
        place = position + (position >= N_POSITIONS // 2)  # of 9 cells
        cells = {"first": (1, 1), "second": divmod(place, 3)}
        views: dict[str, Any] = {name: self._patch_of(whole, *cell) for name, cell in cells.items()}
        return views | {"position": torch.tensor(position)}

    def _patch_of(self, whole: torch.Tensor, row: int, column: int) -> torch.Tensor:
        room = self._cell - self._patch + 1
        top, left = (int(torch.randint(room, ())) + part * self._cell for part in (row, column))
        patch = whole[:, top : top + self._patch, left : left + self._patch].float() / 255
        shifted = (patch + (torch.rand(3, 1, 1) * 2 - 1) * self._shift).clamp(0, 1)
        return self._normalize(shifted)
