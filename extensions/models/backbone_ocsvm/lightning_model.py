"""The one-class SVM on a frozen backbone as a Lightning module."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from anomalib import LearningType
from anomalib.data import Batch
from anomalib.metrics import AUROC, Evaluator, F1Score
from anomalib.models import AnomalibModule
from anomalib.models.components import MemoryBankMixin
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones import architecture
from extensions.models.backbone_ocsvm.torch_model import BackboneOcSvmModel
from extensions.models.common.backbone_mixin import BackboneMixin
from extensions.models.common.pre_processor import ImageSize
from extensions.models.common.refit_mixin import RefitMixin


class BackboneOcSvm(RefitMixin, BackboneMixin, MemoryBankMixin, AnomalibModule):
    """One-class SVM on a frozen backbone's features averaged over the image: what to compare `AutoencoderOcSvm` with.

    Schölkopf et al., "Estimating the Support of a High-Dimensional Distribution", 2001,
    https://doi.org/10.1162/089976601750264965. The score is minus the decision function, higher is more anomalous, 0
    its boundary, which is also `label_free_threshold`. It knows nothing of places: there is no anomaly map, and pixel
    metrics stay blank.

    Args:
        backbone: timm name; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to use; None takes the last ones at strides 8 and 16.
        weights: Weights file of the backbone; None looks in the weights folder, packages and timm's hub.
        pre_trained: False leaves the backbone random.
        image_size: Height and width in px that images are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        nu: In (0, 1], the share of training images that may lie outside the boundary at most.
        gamma: Of the Gaussian kernel on scaled features: `scale`, `auto` (as in scikit-learn) or a number.
        pre_processor: True builds the default, False leaves images as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone or layer, or a number out of range.

    Example:
        >>> model = BackboneOcSvm("resnet18")
        >>> Engine().fit(model, datamodule=Elpv())
    """

    reductions = (8, 16)
    store_name = "embedding_store"
    only_for_fit = frozenset({"nu", "gamma"})
    model: BackboneOcSvmModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        nu: float = 0.1,
        gamma: str | float = "scale",
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        layers = self._resolve_layers(backbone, layers)
        processor = self._resolve_pre_processor(pre_processor, backbone, image_size=image_size, center_crop=center_crop)
        super().__init__(
            pre_processor=processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        self.model = BackboneOcSvmModel(layers, backbone=architecture(backbone), nu=nu, gamma=gamma)
        self._set_backbone(backbone, layers, weights=weights, pre_trained=pre_trained)

    @staticmethod
    def configure_evaluator() -> Evaluator:
        """Metrics of images alone."""
        fields = ["pred_score", "gt_label"], ["pred_label", "gt_label"]
        return Evaluator(
            test_metrics=[AUROC(fields=fields[0], prefix="image_"), F1Score(fields=fields[1], prefix="image_")]
        )

    @staticmethod
    def configure_optimizers() -> None:
        """Nothing is learned by gradient."""

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """One pass over the training images."""
        return {"max_epochs": 1, "num_sanity_val_steps": 0, "devices": 1}

    @property
    def learning_type(self) -> LearningType:
        """Learns from normal images only."""
        return LearningType.ONE_CLASS

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Collect features."""
        self.model(batch.image)
        return torch.tensor(0.0, requires_grad=True, device=self.device)

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Score images."""
        return batch.update(**self.model(batch.image)._asdict())

    def fit(self) -> None:
        """Fit the SVM to what was collected."""
        self.model.fit()

    @property
    def label_free_threshold(self) -> tuple[float, str] | None:
        """A threshold on raw scores that needed no labelled image: the boundary that the SVM found."""
        return (0.0, "sign of the one-class SVM's decision function") if self.model.svm.is_fitted else None
