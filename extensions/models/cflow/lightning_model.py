"""CFlow-AD as a Lightning module."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from anomalib.models import Cflow as AnomalibCflow
from anomalib.visualization import Visualizer
from torch import nn
from torch.nn import functional as F

from extensions.backbones import architecture
from extensions.configuration.checked_values import check_values, check_whole
from extensions.models.cflow.torch_model import CflowModel, shuffled_batches, to_fibers
from extensions.models.common.backbone_mixin import BackboneMixin
from extensions.models.common.held_out_mixin import HeldOutMixin, holds_out_training_images
from extensions.models.common.inside import Inside, find_inside
from extensions.models.common.lr_schedule_mixin import LrScheduleMixin
from extensions.models.common.pre_processor import ImageSize
from extensions.models.common.score_pooling_mixin import ScorePoolingMixin


class Cflow(ScorePoolingMixin, LrScheduleMixin, HeldOutMixin, BackboneMixin, AnomalibCflow):
    """CFlow-AD: likelihood of each position's features under a normalizing flow conditioned on the position.

    Gudovskiy et al., "CFLOW-AD: Real-Time Unsupervised Anomaly Detection with Localization via Conditional
    Normalizing Flows", 2022, https://arxiv.org/abs/2107.12571. Scores are the number of layers minus the sum of their
    scaled likelihoods, higher is more anomalous. Differs from the paper: likelihoods are scaled by their maximum over
    the training set, not the test set. Differs from anomalib: scores do not depend on the other images of a batch,
    fewer fibers than `fiber_batch_size` make one batch instead of an error, `train_loss` is the mean over fibers
    (anomalib logs the sum, which grows with the batch), `anomaly_map` is (N, 1, H, W), and with
    `val_split_mode=from_train` the flows of the lowest `val_loss`, that mean over images held out of training, are
    kept and that loss tells whether training was long enough.

    Args:
        backbone: timm name; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to use, highest resolution first; None takes the last ones at strides 8, 16 and 32.
        weights: Weights file of the backbone; None looks in the weights folder, packages and timm's hub.
        pre_trained: False leaves the backbone random.
        image_size: Height and width in px that images are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        fiber_batch_size: Fibers a step; each step costs the same overhead, so that large ones are much faster on a
            CPU and take fewer steps an epoch.
        decoder: Kind of flow, as in anomalib.
        condition_vector: Length of the position's encoding, a multiple of 4.
        coupling_blocks: Coupling blocks of each flow.
        clamp_alpha: Soft clamp of a block's scale.
        permute_soft: Whether blocks mix channels by a random rotation instead of a permutation.
        lr: Learning rate of Adam.
        lr_schedule: `constant` as in anomalib, or `cosine` as in the paper (without its warm-up): the rate falls to a
            thousandth over `max_epochs`, and the loss is flat at the end after far fewer epochs.
        score_pooling: What an image scores: `max` of its map, or the mean of the map's highest pixels, `top_100` or
            `top_1%`, with any other number, see `extensions.data.score_pooling`. None for `max`. A trained
            model takes another.
        pre_processor: True builds the default, False leaves images as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone or layer, or a number out of its range.

    Example:
        >>> model = Cflow("resnet18", fiber_batch_size=1024)
        >>> Engine(max_epochs=50).fit(model, datamodule=Elpv())
    """

    reductions = (8, 16, 32)
    needs_alignment = True
    extractor_name = "encoder"
    only_for_fit = frozenset({"fiber_batch_size", "lr", "lr_schedule"})
    model: CflowModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        fiber_batch_size: int = 64,
        decoder: str = "freia-cflow",
        condition_vector: int = 128,
        coupling_blocks: int = 8,
        clamp_alpha: float = 1.9,
        permute_soft: bool = False,
        lr: float = 0.0001,
        lr_schedule: Literal["constant", "cosine"] = "constant",
        score_pooling: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        check_whole(
            fiber_batch_size=fiber_batch_size, condition_vector=condition_vector, coupling_blocks=coupling_blocks
        )
        check_values(
            coupling_blocks=(coupling_blocks, coupling_blocks >= 1, "at least 1"),
            fiber_batch_size=(fiber_batch_size, fiber_batch_size >= 1, "at least 1"),
            condition_vector=(
                condition_vector,
                condition_vector >= 4 and condition_vector % 4 == 0,
                "a positive multiple of 4",
            ),
            lr_schedule=(lr_schedule, lr_schedule in ("constant", "cosine"), "constant or cosine"),
        )
        layers = self._resolve_layers(backbone, layers)
        processor = self._resolve_pre_processor(pre_processor, backbone, image_size=image_size, center_crop=center_crop)
        # Anomalib's own __init__ is left out: it would build its network, and with it look for weights.
        super(AnomalibCflow, self).__init__(
            pre_processor=processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        self.model = CflowModel(
            architecture(backbone),
            layers,
            fiber_batch_size=fiber_batch_size,
            decoder=decoder,
            condition_vector=condition_vector,
            coupling_blocks=coupling_blocks,
            clamp_alpha=clamp_alpha,
            permute_soft=permute_soft,
        )
        self.automatic_optimization = False
        self.learning_rate = lr
        self.lr_schedule = lr_schedule
        self._set_backbone(backbone, layers, weights=weights, pre_trained=pre_trained)
        self._set_score_pooling(score_pooling)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Optimize the flows by Adam, each parameter in one operation; its steps equal anomalib's by rounding."""
        return torch.optim.Adam(self.model.decoders.parameters(), lr=self.learning_rate, fused=True)

    def on_train_epoch_start(self) -> None:
        """Measure the likelihoods' maximum anew, as earlier epochs had other flows."""
        super().on_train_epoch_start()
        self.model.max_log_prob = torch.full_like(self.model.max_log_prob, -torch.inf)

    def training_step(self, batch: Batch, *_: object) -> dict[str, torch.Tensor]:
        """Take one step for every `fiber_batch_size` fibers of each layer; logs the mean loss a fiber."""
        features = self.model.encoder(batch.image)
        inside = find_inside(self.model, batch.image)
        losses = [
            self._train_layer(index, features[layer], inside) for index, layer in enumerate(self.model.pool_layers)
        ]
        loss = torch.cat(losses).mean()
        self.log("train_loss", loss, on_epoch=True, prog_bar=True, logger=True, batch_size=len(batch.image))
        return {"loss": loss}

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Score images; log the mean loss a fiber of those that were held out of training as `val_loss`."""
        maps, inside = self.model.log_prob_maps(batch.image), find_inside(self.model, batch.image)
        if holds_out_training_images(self.trainer):
            fibers = [maps_of.flatten() if inside is None else _rows_inside(maps_of, inside) for maps_of in maps]
            loss = -F.logsigmoid(torch.cat(fibers)).mean()
            self.log("val_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        found = self.model.score(maps, batch.image.shape[-2:], inside=inside)
        return batch.update(**self.pooled(batch.image, found)._asdict())

    def _train_layer(self, layer_index: int, features: torch.Tensor, inside: Inside | None) -> torch.Tensor:
        """Train one layer's flow on features (N, C, h, w); returns the loss of each fiber inside."""
        optimizer = self.optimizers()
        fibers = to_fibers(features.detach())
        condition = self.model.condition(*features.shape[-2:])
        if inside is not None:
            kept = inside.positions(features.shape[-2:]).expand(len(features), -1, -1, -1).flatten() > 0
            fibers, condition = fibers[kept], condition.repeat(len(features), 1)[kept]
        losses, peaks = [], [self.model.max_log_prob[layer_index]]
        optimizer.zero_grad()  # of the other layers, too, which Adam then leaves alone
        parameters = list(self.model.decoders[layer_index].parameters())
        for index in shuffled_batches(len(fibers), self.model.fiber_batch_size):
            log_prob = self.model.log_prob(layer_index, fibers[index], condition[index % len(condition)])
            loss = -F.logsigmoid(log_prob)
            self.manual_backward(loss.mean())
            optimizer.step()
            for parameter in parameters:
                parameter.grad = None
            losses.append(loss.detach())
            peaks.append(log_prob.detach().max())
        self.model.max_log_prob[layer_index] = torch.stack(peaks).max()
        return torch.cat(losses)


def _rows_inside(maps: torch.Tensor, inside: Inside) -> torch.Tensor:
    """Values of maps (N, 1, h, w) at the positions inside, one after the other."""
    return maps[inside.positions(maps.shape[-2:]).expand(len(maps), -1, -1, -1) > 0]
