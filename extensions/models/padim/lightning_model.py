"""PaDiM as a Lightning module."""

from collections.abc import Sequence
from pathlib import Path

from anomalib.metrics import Evaluator
from anomalib.models import Padim as AnomalibPadim
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones import architecture, layer_table
from extensions.configuration.checked_values import check_whole
from extensions.models.common.backbone_mixin import BackboneMixin
from extensions.models.common.pre_processor import ImageSize
from extensions.models.common.refit_mixin import RefitMixin
from extensions.models.common.score_pooling_mixin import ScorePoolingMixin
from extensions.models.common.support_views_mixin import SupportViewsMixin
from extensions.models.padim.torch_model import PadimModel, derive_n_features


class Padim(ScorePoolingMixin, SupportViewsMixin, RefitMixin, BackboneMixin, AnomalibPadim):
    """PaDiM: Mahalanobis distance of each position's features to a Gaussian fitted at that position.

    Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization", 2021,
    https://arxiv.org/abs/2011.08785. Scores are distances, higher is more anomalous. Differs from the paper: none
    beyond anomalib's additional 1e-5 on the covariance's diagonal. Differs from anomalib: `n_features` has a value
    for every backbone, a second fit fits again, fitting needs a third of the memory, and `pred_score` is (N,).

    Args:
        backbone: timm name; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to use, highest resolution first; None takes the last ones at strides 4, 8 and 16.
        weights: Weights file of the backbone; None looks in the weights folder, packages and timm's hub.
        pre_trained: False leaves the backbone random.
        image_size: Height and width in px that images are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        n_features: Channels drawn at random out of those of all layers; memory grows with its square. None takes
            100 for ResNet-18 and 550 for Wide-ResNet-50-2 as in the paper, else 100 or all where there are fewer.
        support_views: Fits to 22 views of each training image, turned, shifted, mirrored and gray, see
            `extensions.models.common.support_views`; for fits to a handful of images.
        score_pooling: What an image scores: `max` of its map, or the mean of the map's highest pixels, `top_100` or
            `top_1%`, with any other number, see `extensions.data.score_pooling`. None for `max`. A trained
            model takes another.
        pre_processor: True builds the default, False leaves images as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone or layer, or more features than the layers have.

    Example:
        >>> model = Padim("tf_efficientnet_lite0")
        >>> Engine().fit(model, datamodule=Elpv())
    """

    reductions = (4, 8, 16)
    needs_alignment = True
    store_name = "memory_bank"
    model: PadimModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        n_features: int | None = None,
        support_views: bool = False,
        score_pooling: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        check_whole(n_features=n_features)
        layers = self._resolve_layers(backbone, layers)
        n_channels = sum(layer.channels for layer in layer_table(backbone) if layer.name in layers)
        n_features = derive_n_features(backbone, layers, n_channels, n_features)
        processor = self._resolve_pre_processor(pre_processor, backbone, image_size=image_size, center_crop=center_crop)
        # Anomalib's own __init__ is left out: it would build its network, and with it look for weights.
        super(AnomalibPadim, self).__init__(
            pre_processor=processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        self.hparams["n_features"] = n_features
        self.support_views = support_views
        self.model = PadimModel(
            backbone=architecture(backbone), layers=layers, pre_trained=False, n_features=n_features
        )
        self._set_backbone(backbone, layers, weights=weights, pre_trained=pre_trained)
        self._set_score_pooling(score_pooling)

    def bytes_of_fit(self, n_tiles: int, features: dict[str, tuple[int, int, int]]) -> tuple[int, int]:
        """All embeddings, and a Gaussian at each position of a tile."""
        _, height, width = features[self.layers[0]]
        n_features = len(self.model.idx)
        return 4 * height * width * n_features * (n_tiles + n_features), 0
