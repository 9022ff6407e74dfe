"""CDO as a Lightning module."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from anomalib.models import Stfpm as AnomalibStfpm
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones import architecture
from extensions.configuration.checked_values import check_values
from extensions.models.cdo.drawing import KINDS, Drawing, draw_defects
from extensions.models.cdo.loss import collaborative_loss
from extensions.models.cdo.torch_model import CdoModel
from extensions.models.common.checkpoint_mixin import restoring
from extensions.models.common.held_out_mixin import HeldOutMixin, holds_out_training_images
from extensions.models.common.inside import find_inside
from extensions.models.common.pre_processor import ImageSize, last_normalization
from extensions.models.common.step_seed import seed_of_step
from extensions.models.stfpm.lightning_model import Stfpm

_OLD_NAMES = {"max": None, "top": "top_1%"}  # of `score`


class Cdo(HeldOutMixin, Stfpm):
    """CDO: a student imitates its teacher on what is normal and is kept from it where defects are drawn or known.

    Cao, Xu, Liu, Shen, "Collaborative Discrepancy Optimization for Reliable Image Anomaly Localization", IEEE
    Transactions on Industrial Informatics 2023, https://arxiv.org/abs/2302.08769. Scores are sums of feature distances,
    higher is more anomalous. Networks, loss, drawn noise, optimizer and map are those of the paper's code
    (https://github.com/caoyunkang/CDO, March 2023). Differs from it: any backbone (its tables are of HRNet-32),
    distances are enlarged to the first layer's size in place of features, noise may lie on the background,
    epochs are chosen on held-out images. `score_pooling=top_1%` is that of the authors' version of 2025.

    Real defects with masks that the datamodule puts into training (`known_defects`, `known_defects_dir`) are learned
    from as they are, and nothing is drawn on them; on all other images a defect is drawn anew in each step. Where the
    datamodule holds out training images (`val_split_mode=from_train`) the loss on them, with defects drawn by a
    fixed seed, is logged as `val_loss` and the student of the epoch with the lowest is kept.

    Args:
        backbone: timm name of teacher and student; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to compare, highest resolution first; None takes the last ones at strides 4, 8 and 16.
        weights: Weights file of the teacher; None looks in the weights folder, packages and timm's hub.
        pre_trained: False leaves the teacher random.
        image_size: Height and width in px that images are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        gamma: Exponent of the weights; 0 weighs all positions alike.
        margin: Margin optimization (MOM): whether positions of defects are pushed away; False leaves them out.
        overlap: Overlap optimization (OOM): whether hard positions weigh more; False is gamma 0.
        drawing: Defects drawn in training: `noise` rectangles as in the paper, `nsa`, `cutpaste`, or `none`.
        score: The older name of `score_pooling`: `top` is `top_1%`.
        sigma: Of the Gaussian that blurs the map, in px of what the network sees: 4 as in the paper, whose images have
            256; half of that at 128 px blurs as much of the product.
        lr: Learning rate of AdamW in the first epoch.
        weight_decay: Weight decay of AdamW.
        lr_decay: The learning rate is multiplied by it after each epoch; 1 keeps it.
        recalibrate: As in `Stfpm`, before each look at the held-out images.
        score_pooling: What an image scores: `max` of its map, or the mean of the map's highest pixels, `top_100` or
            `top_1%`, with any other number, see `extensions.data.score_pooling`. None for `max`. A trained
            model takes another.
        pre_processor: True builds the default, False leaves images as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone, layer, drawing or score, or a number out of range.

    Example:
        >>> model = Cdo("resnet18", drawing="nsa")
        >>> Engine(max_epochs=50).fit(model, datamodule=MVTecAD(known_defects=10))
    """

    only_for_fit = frozenset({"gamma", "margin", "overlap", "drawing", "lr_decay"})
    only_at_use = frozenset({"score"})
    learns_from_defects: ClassVar[bool] = True
    model: CdoModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        gamma: float = 2.0,
        margin: bool = True,
        overlap: bool = True,
        drawing: Drawing = "noise",
        score: Literal["max", "top"] = "max",
        sigma: float = 4.0,
        lr: float = 0.0004,
        weight_decay: float = 0.0001,
        lr_decay: float = 0.95,
        recalibrate: bool = False,
        score_pooling: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        drawings = ("noise", *KINDS, "none")
        check_values(
            gamma=(gamma, gamma >= 0, "0 or more"),
            drawing=(drawing, drawing in drawings, f"one of {', '.join(drawings)}"),
            score=(score, score in ("max", "top"), "max or top"),
            sigma=(sigma, 0 < sigma < math.inf, "above 0"),
            lr_decay=(lr_decay, 0 < lr_decay <= 1, "above 0, at most 1"),
        )
        if score == "top" and score_pooling not in (None, "top_1%") and not restoring.get():
            msg = f"score is 'top' and score_pooling {score_pooling!r}, which is its newer name: leave score out"
            raise ValueError(msg)
        layers = self._resolve_layers(backbone, layers)
        processor = self._resolve_pre_processor(pre_processor, backbone, image_size=image_size, center_crop=center_crop)
        # Anomalib's own __init__ is left out: it would download the teacher.
        super(AnomalibStfpm, self).__init__(
            pre_processor=processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        self.model = CdoModel(layers, architecture(backbone), sigma=sigma)
        self.collaborative_loss = partial(collaborative_loss, gamma=gamma, margin=margin, overlap=overlap)
        self.drawing = drawing
        self.lr_decay, self.recalibrate = lr_decay, recalibrate
        self.optimizer_settings = {"lr": lr, "weight_decay": weight_decay}
        self._set_backbone(backbone, layers, weights=weights, pre_trained=pre_trained)
        self._old_pooling = _OLD_NAMES[score]
        self._set_score_pooling(score_pooling)

    def _set_score_pooling(self, name: str | None) -> None:
        """As `ScorePoolingMixin`, with the older argument where this one is not given."""
        super()._set_score_pooling(self._old_pooling if name is None else name)

    @classmethod
    def pooling_in(cls, init_args: Mapping[str, Any]) -> str | None:
        """As `ScorePoolingMixin`; a checkpoint may have the older argument alone."""
        given = init_args.get("score_pooling") or _OLD_NAMES.get(init_args.get("score", "max"))
        return super().pooling_in({"score_pooling": given})

    @property
    def takes_channels(self) -> bool:
        """The defects that it draws are of red, green and blue."""
        return False

    @property
    def changed_splits(self) -> tuple[str, ...]:
        """Splits whose images the backbone does not see as they are, so that nobody computes their features before."""
        return () if self.drawing == "none" else ("train", "val")

    def configure_optimizers(self) -> Any:
        """Optimize the student by AdamW, with a learning rate that falls from epoch to epoch."""
        optimizer = torch.optim.AdamW(self.model.student_model.parameters(), **self.optimizer_settings)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=self.lr_decay)]

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """Approach the teacher on what is normal, keep off on defects."""
        loss = self._loss_with_defects(batch, seed=seed_of_step(self))
        self.log("train_loss", loss.item(), on_epoch=True, prog_bar=True, logger=True)
        return {"loss": loss}

    def validation_step(self, batch: Batch, batch_idx: int = 0, *args: Any, **kwargs: Any) -> Batch:
        """Score images; log the loss on those that were held out of training as `val_loss`."""
        if holds_out_training_images(self.trainer):
            loss = self._loss_with_defects(batch, seed=batch_idx)
            self.log("val_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return batch.update(**self.model(batch.image)._asdict())

    def _loss_with_defects(self, batch: Batch, *, seed: int) -> torch.Tensor:
        """The loss on the batch's known defects and on its other images with defects drawn on them."""
        images, marked = self.with_defects(batch, seed=seed)
        inside = find_inside(self.model, batch.image)
        if inside is None:
            return self.collaborative_loss(self.model.compare_drawn(images), marked)
        images, marked = self.model.inside.filled(images, inside), marked & (inside.pixels > 0)
        distances = self.model.compare_drawn(images)
        return self.collaborative_loss(distances, marked, inside=inside.positions(distances.shape[-2:]))

    def with_defects(self, batch: Batch, *, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw defects on the images of a batch that have none.

        Args:
            batch: As the pre-processor gives it: `image` (N, 3, H, W), `gt_label` (N,) and, where it holds
                defects, `gt_mask` (N, H, W).
            seed: Of all that is drawn; nothing else changes what comes out.

        Returns:
            Images (N, 3, H, W) and where their defects are, (N, 1, H, W) bool.
        """
        images = batch.image.clone()
        marked = torch.zeros_like(images[:, :1], dtype=torch.bool)
        is_known = batch.gt_label.bool() if batch.gt_label is not None else marked.flatten(1).any(dim=1)
        if is_known.any():
            marked[is_known] = batch.gt_mask[is_known].reshape(-1, *marked.shape[1:]).bool()
        normalize = last_normalization(getattr(self.pre_processor, "transform", None))
        good = ~is_known
        images[good], marked[good] = draw_defects(images[good], self.drawing, normalize=normalize, seed=seed)
        return images, marked
