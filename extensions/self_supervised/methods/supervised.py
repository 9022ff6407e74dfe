"""Classification by folders, the plain rival of learning without labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from extensions.configuration.checked_values import check_values
from extensions.models.contrastive_stfpm.views import MILD, check_view_settings
from extensions.self_supervised.images.image_list import ImageList
from extensions.self_supervised.images.view_dataset import ViewMaker, Views
from extensions.self_supervised.methods.method import Method


class Supervised(Method):
    """Learns to tell the folders apart: cross-entropy on one class a subfolder.

    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015, https://arxiv.org/abs/1512.03385, train
    so. Differs from the paper: views are those of SimCLR, milder.

    Args:
        backbone: timm architecture or `arch.tag`.
        label_smoothing: Share of a label that is spread over all classes.
        views: Settings of lightly's `SimCLRViewTransform` that differ from `min_scale: 0.2, cj_strength: 0.5` and from
            its own defaults.
        kwargs: See `Method`.

    Raises:
        ValueError: Unknown backbone or setting of the views, a number out of range, or images of a single class.
        WeightsError: Weights that do not fit.

    Example:
        >>> method = Supervised("cspdarknet53")
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        *,
        label_smoothing: float = 0.0,
        views: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, **kwargs)
        check_values(label_smoothing=(label_smoothing, 0 <= label_smoothing < 1, "0 or more and below 1"))
        check_view_settings(views or {})
        self.label_smoothing = label_smoothing
        self.view_settings = MILD | (views or {})
        self.classifier: nn.Module = nn.Identity()

    def prepare(self, found: ImageList) -> None:
        """Build the classifier for the classes that there are.

        Raises:
            ValueError: There is a single one.
        """
        if len(found.classes) < 2:
            msg = f"found the single class {found.classes[0]!r}; expected images in two or more subfolders"
            raise ValueError(msg)
        self.classifier = nn.Linear(self.n_features, len(found.classes))

    def view_maker(self, image_size: int) -> ViewMaker:
        """One random view of an image and its class."""
        return LabelledView(image_size, self.view_settings, self.normalization)

    def loss(self, batch: Views) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of the class, and the features; logs the share that is right."""
        features = self.encoder(batch["view"])  # (N, K)
        logits = self.classifier(features)  # (N, number of classes)
        right = (logits.argmax(dim=1) == batch["label"]).float().mean()
        self.log("train_accuracy", right, on_step=False, on_epoch=True, batch_size=len(logits))
        return F.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing), features


class LabelledView:
    """A random view of an image (H, W, 3) uint8, (3, size, size), normalized, and its class."""

    def __init__(self, image_size: int, settings: dict[str, Any], normalize: dict[str, list[float]]) -> None:
        from lightly.transforms import SimCLRViewTransform

        self._augment = SimCLRViewTransform(input_size=image_size, normalize=normalize, **settings)

    def __call__(self, image: np.ndarray, label: int, other: Callable[[], np.ndarray]) -> Views:
        """The view, and the class as a scalar."""
        return {"view": self._augment(Image.fromarray(image)), "label": torch.tensor(label)}
