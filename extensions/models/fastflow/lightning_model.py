"""FastFlow as a Lightning module."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from anomalib.models import Fastflow as AnomalibFastflow
from anomalib.models.components import AnomalibModule
from anomalib.models.image.fastflow.loss import FastflowLoss
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones import architecture
from extensions.configuration.checked_values import check_values, check_whole
from extensions.models.common.backbone_mixin import BackboneMixin
from extensions.models.common.held_out_mixin import HeldOutMixin, holds_out_training_images
from extensions.models.common.lr_schedule_mixin import LrScheduleMixin
from extensions.models.common.pre_processor import ImageSize
from extensions.models.common.score_pooling_mixin import ScorePoolingMixin
from extensions.models.fastflow.torch_model import FastflowModel


class Fastflow(ScorePoolingMixin, LrScheduleMixin, HeldOutMixin, BackboneMixin, AnomalibFastflow):
    """FastFlow: likelihood of each position's features under a normalizing flow that sees their surroundings.

    Yu et al., "FastFlow: Unsupervised Anomaly Detection and Localization via 2D Normalizing Flows", 2021,
    https://arxiv.org/abs/2111.07677. Scores are minus the likelihood averaged over layers, -1 to 0, higher is more
    anomalous. Differs from the paper as anomalib does, which follows https://github.com/gathierry/FastFlow: a trainable
    layer normalization stands before each flow, tied to the size of the images. Differs from anomalib: any backbone
    with feature maps (transformers need `layers`), images of any size, data without masks, `pred_score` is (N,), and
    with `val_split_mode=from_train` the flows of the lowest `val_loss`, the same loss on images held out of training,
    are kept and that loss tells whether training was long enough.

    Args:
        backbone: timm name; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to use, highest resolution first; None takes the last ones at strides 4, 8 and 16.
        weights: Weights file of the backbone; None looks in the weights folder, packages and timm's hub.
        pre_trained: False leaves the backbone random.
        image_size: Height and width in px that images are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        flow_steps: Coupling blocks of each flow.
        conv3x3_only: Whether all blocks see their surroundings, instead of every other one.
        hidden_ratio: Channels inside a block, as a part of those that it gets.
        lr: Learning rate of Adam.
        lr_schedule: `constant` as in anomalib, or `cosine`: the rate falls to a thousandth over `max_epochs`. At a
            constant rate the likelihood of the training images rises as long as one trains.
        weight_decay: Weight decay of Adam.
        score_pooling: What an image scores: `max` of its map, or the mean of the map's highest pixels, `top_100` or
            `top_1%`, with any other number, see `extensions.data.score_pooling`. None for `max`. A trained
            model takes another.
        pre_processor: True builds the default; another one must bring images to one size.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone or layer, a number out of its range, or no fixed size of the images.

    Example:
        >>> model = Fastflow("tf_efficientnet_lite0")
        >>> Engine(max_epochs=100).fit(model, datamodule=Elpv())
    """

    reductions = (4, 8, 16)
    regions = "none"
    only_for_fit = frozenset({"lr", "lr_schedule", "weight_decay"})
    # Anomalib's own for this model stops with an error at data without masks.
    configure_evaluator = staticmethod(AnomalibModule.configure_evaluator)
    model: FastflowModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        flow_steps: int = 8,
        conv3x3_only: bool = False,
        hidden_ratio: float = 1.0,
        lr: float = 0.001,
        lr_schedule: Literal["constant", "cosine"] = "constant",
        weight_decay: float = 0.00001,
        score_pooling: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        check_whole(flow_steps=flow_steps)
        check_values(
            flow_steps=(flow_steps, flow_steps >= 1, "at least 1"),
            hidden_ratio=(hidden_ratio, hidden_ratio > 0, "more than 0"),
            lr_schedule=(lr_schedule, lr_schedule in ("constant", "cosine"), "constant or cosine"),
        )
        layers = self._resolve_layers(backbone, layers)
        processor = self._resolve_pre_processor(pre_processor, backbone, image_size=image_size, center_crop=center_crop)
        # Anomalib's own __init__ is left out: it would build its network, and with it download the backbone.
        super(AnomalibFastflow, self).__init__(
            pre_processor=processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        if self.input_size is None:
            msg = (
                "Fastflow must know the size of the images, and its pre_processor does not bring them to one: give "
                "it one with a Resize, or leave pre_processor out."
            )
            raise ValueError(msg)
        self.model = FastflowModel(
            architecture(backbone),
            layers,
            input_size=self.input_size,
            flow_steps=flow_steps,
            conv3x3_only=conv3x3_only,
            hidden_ratio=hidden_ratio,
        )
        self.loss = FastflowLoss()
        self.optimizer_settings = {"lr": lr, "weight_decay": weight_decay}
        self.lr_schedule = lr_schedule
        self._set_backbone(backbone, layers, weights=weights, pre_trained=pre_trained)
        self._set_score_pooling(score_pooling)

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Score images; log the loss of those that were held out of training as `val_loss`."""
        latent, log_jacobians = self.model.flow(batch.image)
        if holds_out_training_images(self.trainer):
            loss = self.loss(latent, log_jacobians)
            self.log("val_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return batch.update(**self.pooled(batch.image, self.model.score(latent))._asdict())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Optimize flows and normalizations by Adam."""
        parameters = [*self.model.norms.parameters(), *self.model.fast_flow_blocks.parameters()]
        return torch.optim.Adam(parameters, **self.optimizer_settings)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the images' size from the checkpoint's pre-processing, which replaces that of this model."""
        super().on_load_checkpoint(checkpoint)
        if self.input_size is not None and tuple(self.input_size) != self.model.input_size:
            self.model.set_input_size(self.input_size)
