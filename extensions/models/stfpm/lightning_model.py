"""STFPM as a Lightning module."""

from collections.abc import Sequence
from pathlib import Path

import torch
from anomalib.metrics import Evaluator
from anomalib.models import Stfpm as AnomalibStfpm
from anomalib.models.image.stfpm.loss import STFPMLoss
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones import architecture, check_backbone
from extensions.models.common.backbone_mixin import BackboneMixin
from extensions.models.common.pre_processor import ImageSize
from extensions.models.common.recalibration import recalibrate
from extensions.models.common.score_pooling_mixin import ScorePoolingMixin
from extensions.models.common.training_pass import training_images
from extensions.models.stfpm.torch_model import STFPMModel


class Stfpm(ScorePoolingMixin, BackboneMixin, AnomalibStfpm):
    """STFPM: where a student, trained on normal images only, fails to imitate its teacher's features.

    Wang et al., "Student-Teacher Feature Pyramid Matching for Anomaly Detection", 2021,
    https://arxiv.org/abs/2103.04257. Scores are products of feature distances, higher is more anomalous. Differs from
    the paper as anomalib does: the loss is summed over the batch, not averaged, so that its step grows with the batch
    size, and weight decay is 1e-3 (paper: 1e-4). Differs from anomalib: the teacher's weights are found offline,
    `pred_score` is (N,), and the optimizer's numbers are arguments. In the paper both networks have one architecture;
    with `student_backbone` layers are matched by stride, and where a layer of the student has another number of
    channels, a 1x1 convolution that is trained with it makes them the teacher's.

    Args:
        backbone: timm name of teacher and student; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to match, highest resolution first; None takes the last ones at strides 4, 8 and 16.
        weights: Weights file of the teacher; None looks in the weights folder, packages and timm's hub.
        pre_trained: False leaves the teacher random.
        image_size: Height and width in px that images are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        student_backbone: timm name of the student where it is not the teacher's, without a tag as it starts random.
        lr: Learning rate of SGD.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD.
        recalibrate: Estimate the running statistics of the student's batch normalization anew at the end of each epoch,
            the weights fixed (see `extensions.models.common.recalibration`): the paper's learning rate lets them trail.
        score_pooling: What an image scores: `max` of its map, or the mean of the map's highest pixels, `top_100` or
            `top_1%`, with any other number, see `extensions.data.score_pooling`. None for `max`. A trained
            model takes another.
        pre_processor: True builds the default, False leaves images as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone or layer, or a student without a layer at the stride of one of the teacher's.

    Example:
        >>> model = Stfpm("resnet34", student_backbone="resnet18")
        >>> Engine(max_epochs=100).fit(model, datamodule=Elpv())
    """

    reductions = (4, 8, 16)
    extractor_name = "teacher_model"
    uses_pixels = True  # the student does
    only_for_fit = frozenset({"lr", "momentum", "weight_decay", "recalibrate"})
    student_backbone: str | None = None
    recalibrate: bool = False
    _recalibrated_at = -1  # step
    model: STFPMModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        student_backbone: str | None = None,
        lr: float = 0.4,
        momentum: float = 0.9,
        weight_decay: float = 0.001,
        recalibrate: bool = False,
        score_pooling: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        layers = self._resolve_layers(backbone, layers)
        if student_backbone is not None:
            _check_student(student_backbone)
        processor = self._resolve_pre_processor(pre_processor, backbone, image_size=image_size, center_crop=center_crop)
        # Anomalib's own __init__ is left out: it would download the teacher.
        super(AnomalibStfpm, self).__init__(
            pre_processor=processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        self.model = STFPMModel(layers=layers, backbone=architecture(backbone), student_backbone=student_backbone)
        self.student_backbone = student_backbone
        self.recalibrate = recalibrate
        self.loss = STFPMLoss()
        self.optimizer_settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        self._set_backbone(backbone, layers, weights=weights, pre_trained=pre_trained)
        self._set_score_pooling(score_pooling)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Optimize the student by SGD."""
        return torch.optim.SGD(
            self.model.student_model.parameters(),
            **self.optimizer_settings,
        )

    def on_fit_start(self) -> None:
        """Begin with a student whose statistics are not those of its weights."""
        super().on_fit_start()
        self._recalibrated_at = -1

    def on_validation_start(self) -> None:
        """Bring the student's running statistics up to its weights, before a loss on held-out images chooses it."""
        super().on_validation_start()
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self._recalibrate()

    def on_train_epoch_end(self) -> None:
        """Bring the student's running statistics up to its weights, before anyone keeps or tests it."""
        super().on_train_epoch_end()
        self._recalibrate()

    def _recalibrate(self) -> None:
        if self.recalibrate and self._recalibrated_at != self.global_step:
            recalibrate(self.model.student_model, training_images(self))
            self._recalibrated_at = self.global_step


def _check_student(name: str) -> None:
    arch, _, tag = name.partition(".")
    if tag:
        msg = f"student_backbone is {name!r}, but a student starts random: give {arch!r} without a tag."
        raise ValueError(msg)
    check_backbone(name)
