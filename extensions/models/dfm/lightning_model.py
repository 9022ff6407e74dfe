"""DFM as a Lightning module."""

from collections.abc import Sequence
from pathlib import Path

from anomalib.metrics import Evaluator
from anomalib.models import Dfm as AnomalibDfm
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones import architecture
from extensions.configuration.checked_values import check_values, is_whole
from extensions.models.common.backbone_mixin import BackboneMixin
from extensions.models.common.pre_processor import ImageSize
from extensions.models.common.refit_mixin import RefitMixin
from extensions.models.common.score_pooling_mixin import ScorePoolingMixin
from extensions.models.dfm.torch_model import DfmModel


class Dfm(ScorePoolingMixin, RefitMixin, BackboneMixin, AnomalibDfm):
    """DFM: what a PCA of all features of good images cannot restore of an image's features.

    Ahuja et al., "Probabilistic Modeling of Deep Features for Out-of-Distribution and Adversarial Detection", 2019,
    https://arxiv.org/abs/1909.11786. Scores are squared errors, of a position in the map and their sum for the image,
    higher is more anomalous. Differs from the paper, which scores by the density of a class: only the error is used, as
    by default in anomalib. Differs from anomalib: any backbone and layers by name, `score_type` is left out (its `nll`
    does not run in anomalib 2.7), a second fit fits again, the PCA takes less time and keeps as many components as
    reach `pca_level`, where anomalib keeps one less, a map that the pooling does not divide is used whole, and what is
    exported takes any number of images at once.

    Args:
        backbone: timm name; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to use, highest resolution first; several are pooled to the grid of the last. None takes
            the one at stride 16.
        weights: Weights file of the backbone; None looks in the weights folder, packages and timm's hub.
        pre_trained: False leaves the backbone random.
        image_size: Height and width in px that images are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        pooling_kernel_size: Positions of the last layer's map that are averaged to one, along each axis.
        pca_level: In (0, 1], the part of the variance of good images that the PCA restores.
        score_pooling: What an image scores: None for the sum of all errors, else by its map: `max`, or the mean of the
            map's highest pixels, `top_100` or `top_1%`, with any other number, see `extensions.data.score_pooling`. A
            trained model takes another.
        pre_processor: True builds the default, False leaves images as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone or layer, or a number out of range.

    Example:
        >>> model = Dfm("tf_efficientnet_lite0")
        >>> Engine().fit(model, datamodule=Elpv())
    """

    reductions = (16,)
    needs_alignment = True
    store_name = "memory_bank"
    own_pooling = None
    only_for_fit = frozenset({"pca_level"})
    model: DfmModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        pooling_kernel_size: int = 2,
        pca_level: float = 0.97,
        score_pooling: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        check_values(
            pooling_kernel_size=(pooling_kernel_size, is_whole(pooling_kernel_size, 1), "a whole number, 1 or more"),
            pca_level=(pca_level, 0 < pca_level <= 1, "more than 0 and at most 1, such as 0.97"),
        )
        layers = self._resolve_layers(backbone, layers)
        processor = self._resolve_pre_processor(pre_processor, backbone, image_size=image_size, center_crop=center_crop)
        # Anomalib's own __init__ is left out: it would build its network, and with it look for weights.
        super(AnomalibDfm, self).__init__(
            pre_processor=processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        self.model = DfmModel(
            layers, backbone=architecture(backbone), pooling_kernel_size=pooling_kernel_size, pca_level=pca_level
        )
        self._set_backbone(backbone, layers, weights=weights, pre_trained=pre_trained)
        self._set_score_pooling(score_pooling)

    def bytes_of_fit(self, n_tiles: int, features: dict[str, tuple[int, int, int]]) -> tuple[int, int]:
        """Features of all tiles, as they are and once more at double precision."""
        _, height, width = features[self.layers[-1]]
        kernel = self.model.pooling_kernel_size
        n_positions = -(-height // kernel) * -(-width // kernel)
        return 12 * n_tiles * n_positions * sum(one[0] for one in features.values()), 0
