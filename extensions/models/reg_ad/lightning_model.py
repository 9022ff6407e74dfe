"""RegAD as a Lightning module."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from anomalib import LearningType
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from anomalib.models import AnomalibModule
from anomalib.models.components import MemoryBankMixin
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones import ResolvedWeights, architecture
from extensions.models.common.backbone_mixin import BackboneMixin
from extensions.models.common.pre_processor import ImageSize
from extensions.models.common.refit_mixin import RefitMixin
from extensions.models.common.score_pooling_mixin import ScorePoolingMixin
from extensions.models.common.support_views_mixin import SupportViewsMixin
from extensions.models.reg_ad.registration_file import load_registration
from extensions.models.reg_ad.spatial_transformer import check_transformer
from extensions.models.reg_ad.torch_model import RegAdModel


class RegAd(ScorePoolingMixin, SupportViewsMixin, RefitMixin, BackboneMixin, MemoryBankMixin, AnomalibModule):
    """RegAD: a few images of a new product, and a network that has learned on other products to align images.

    Huang et al., "Registration based Few-Shot Anomaly Detection", ECCV 2022, https://arxiv.org/abs/2207.07361. The fit
    trains no network: it passes 22 views of each image through one that `extensions.self_supervised.Registration`
    trained on other products, and fits a Gaussian to the aligned features of each position. Scores are Mahalanobis
    distances, higher is more anomalous. Differs from the paper: images are normalized as the backbone's weights expect
    it; aligned features are moved back by one sampling, not by one for each transformer before them; covariances are
    never built (`PositionGaussians`), which changes distances by rounding alone.

    Args:
        backbone: timm name; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to use, each with a transformer; None takes the last ones at strides 4, 8 and 16.
        registration: File of the trained network, a path or a name in the weights folder. None takes the backbone as it
            is and transformers that change nothing: an ablation without any registration, PaDiM on all channels.
        transformer: Kind of transform that the network was trained with: rotation_scale, rotation, scale, translation,
            shear, translation_scale, rotation_translation, rotation_translation_scale or affine.
        weights: Weights file of the backbone without registration; None looks in the weights folder, packages and
            timm's hub.
        pre_trained: False leaves the backbone random, without registration.
        image_size: Height and width in px that images are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        support_views: Whether the fit takes 22 views of each training image, or the images as they are.
        score_pooling: What an image scores: `max` of its map, or the mean of the map's highest pixels, `top_100` or
            `top_1%`, with any other number, see `extensions.data.score_pooling`. None for `max`. A trained
            model takes another.
        pre_processor: True builds the default, False leaves images as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone, layer or transformer, or weights given beside a registration.
        WeightsError: The file is not of such a network.

    Example:
        >>> model = RegAd(registration="resnet18.registration_pa_bdp01_tl.safetensors", image_size=128)
        >>> Engine().fit(model, datamodule=MVTecAD(root="piped", category="pa_bdp01_tl", k_shot=2))
    """

    reductions = (4, 8, 16)
    needs_alignment = True
    regions = "none"
    store_name = "memory_bank"
    uses_pixels = True
    only_for_fit = frozenset({"registration"})  # a checkpoint brings all of its tensors
    model: RegAdModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        registration: str | Path | None = None,
        transformer: str = "rotation_scale",
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 224,
        center_crop: ImageSize | None = None,
        support_views: bool = True,
        score_pooling: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        check_transformer(transformer)
        if registration is not None and weights is not None:
            msg = (
                f"weights={str(weights)!r} is given beside registration={str(registration)!r}, which holds those of "
                "the backbone as well: drop one of the two."
            )
            raise ValueError(msg)
        layers = self._resolve_layers(backbone, layers)
        processor = self._resolve_pre_processor(pre_processor, backbone, image_size=image_size, center_crop=center_crop)
        super().__init__(
            pre_processor=processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        self.registration = registration
        self.support_views = support_views
        self.model = RegAdModel(layers, backbone=architecture(backbone), transformer=transformer)
        self._set_backbone(backbone, layers, weights=registration or weights, pre_trained=pre_trained)
        self._set_score_pooling(score_pooling)

    @property
    def takes_channels(self) -> bool:
        """Its registration was learned on red, green and blue, and so are its views."""
        return False

    def _load_weights(self, backbone: str, weights: str | Path | None) -> ResolvedWeights:
        if self.registration is None:
            return super()._load_weights(backbone, weights)
        return load_registration(self.model.feature_extractor, backbone, self.registration)

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
        """Collect features, of the views of each image if asked for."""
        if self.support_views:
            return super().training_step(batch, *args, **kwargs)
        self.model(batch.image)
        return torch.tensor(0.0, requires_grad=True, device=self.device)

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Score images."""
        return batch.update(**self.model(batch.image)._asdict())

    def fit(self) -> None:
        """Fit the Gaussians to what was collected."""
        self.model.fit()
