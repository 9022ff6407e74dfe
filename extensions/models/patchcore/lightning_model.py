"""PatchCore as a Lightning module."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anomalib import PrecisionType
from anomalib.metrics import Evaluator
from anomalib.models import Patchcore as AnomalibPatchcore
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones import architecture
from extensions.configuration.checked_values import check_values, check_whole
from extensions.models.common.backbone_mixin import BackboneMixin
from extensions.models.common.fit_order import FitOrder
from extensions.models.common.pre_processor import ImageSize
from extensions.models.common.refit_mixin import RefitMixin
from extensions.models.common.score_pooling_mixin import ScorePoolingMixin
from extensions.models.common.support_views_mixin import SupportViewsMixin
from extensions.models.patchcore.coreset import UNORDERED, check_method
from extensions.models.patchcore.coreset_start import check_start
from extensions.models.patchcore.foreground import THRESHOLD, check_foreground
from extensions.models.patchcore.torch_model import PatchcoreModel

JOHNSON = 4 / (0.9**2 / 2 - 0.9**3 / 3)  # channels of the projection for each unit of log(n_patches), at eps 0.9


class Patchcore(ScorePoolingMixin, SupportViewsMixin, RefitMixin, BackboneMixin, AnomalibPatchcore):
    """PatchCore: distance of each patch to a coreset of normal patches.

    Roth et al., "Towards Total Recall in Industrial Anomaly Detection", 2022, https://arxiv.org/abs/2106.08265.
    Scores are distances in feature space, higher is more anomalous. Differs from the paper as anomalib does (the
    image score re-weights the farthest patch by its neighborhood in the coreset; random projection with eps=0.9).
    Differs from anomalib: the same coreset in a fraction of the time, fits again when asked to, and refuses more
    neighbors than the bank has patches.

    Args:
        backbone: timm name; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to use, highest resolution first; None takes the last ones at strides 8 and 16.
        weights: Weights file of the backbone; None looks in the weights folder, packages and timm's hub.
        pre_trained: False leaves the backbone random.
        image_size: Height and width in px that images are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        coreset_sampling_ratio: Share of training patches kept in the memory bank, in (0, 1].
        coreset: How they are selected: `greedy` (anomalib's; over-selects anomalies among the training images),
            `random`, `kmeans` or `density`, which dirty data harm less.
        coreset_start: Patch with which `greedy` and `density` begin: a `random` one as in anomalib, the one nearest to
            the mean of all (`center`), or the one `farthest` from it.
        coreset_projection: Whether `greedy` and `density` measure distances after anomalib's sparse random projection,
            or (False) as they are; with another start than `random` no seed then changes the bank.
        num_neighbors: Neighbors in the bank that weight the image score; 1 leaves the distance as it is.
        neighborhood: Side of the square of feature map positions averaged into a patch, odd (the paper's p; anomalib
            has 3). Larger ones see larger defects, and forgive more of a texture's irregularity.
        precision: `float32` or `float16` (half the memory; the test images are cast, too).
        max_memory_bytes: Limit for the training patches in memory; more of them go to a file in the cache folder
            (`$WORKBENCH_CACHE`), which is deleted after the fit. None for a quarter of the physical memory of the
            device. Changes no result. `PatchcoreModel` gives the peaks of fit and predict.
        foreground: `pca` keeps what lies behind the part out of the bank and out of the scores, by the first principal
            component of a vision transformer's tokens, see `extensions.models.patchcore.foreground`; None counts all of
            an image. For parts on a background, not for textures, and not where the part itself may be missing.
        foreground_threshold: Along that component; AnomalyDINO's is for DINOv2.
        unit_patches: Scales each patch to length 1: distances d are of directions, d²/2 AnomalyDINO's cosine distance.
        support_views: Fits to 22 views of each training image, turned, shifted, mirrored and gray, see
            `extensions.models.common.support_views`; for fits to a handful of images.
        score_pooling: What an image scores: `reweighted`, anomalib's, the distance of its farthest patch weighted by
            `num_neighbors`; `max` of its map; or the mean of the map's highest pixels, `top_100` or `top_1%`, with any
            other number, see `extensions.data.score_pooling`. None for `reweighted`. A trained model takes another.
        pre_processor: True builds the default, False leaves images as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone, layer, coreset or precision, or a number out of its range.

    Example:
        >>> model = Patchcore("resnet18", coreset_sampling_ratio=0.01)
        >>> Engine().fit(model, datamodule=Elpv())
    """

    reductions = (8, 16)
    store_name = "embedding_store"
    own_pooling = "reweighted"
    only_for_fit = frozenset(
        {"coreset_sampling_ratio", "coreset", "coreset_start", "coreset_projection", "max_memory_bytes"}
    )
    model: PatchcoreModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        coreset_sampling_ratio: float = 0.1,
        coreset: str = "greedy",
        coreset_start: str = "random",
        coreset_projection: bool = True,
        num_neighbors: int = 9,
        neighborhood: int = 3,
        precision: str | PrecisionType = "float32",
        max_memory_bytes: int | None = None,
        foreground: str | None = None,
        foreground_threshold: float = THRESHOLD,
        unit_patches: bool = False,
        support_views: bool = False,
        score_pooling: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        check_whole(num_neighbors=num_neighbors, neighborhood=neighborhood, max_memory_bytes=max_memory_bytes)
        ratio, memory = coreset_sampling_ratio, max_memory_bytes
        check_values(
            coreset_sampling_ratio=(ratio, 0 < ratio <= 1, "a share greater than 0 and at most 1"),
            num_neighbors=(num_neighbors, num_neighbors >= 1, "at least 1"),
            neighborhood=(neighborhood, neighborhood >= 1 and neighborhood % 2 == 1, "an odd number of at least 1"),
            foreground_threshold=(foreground_threshold, foreground_threshold >= 0, "0 or more"),
            max_memory_bytes=(memory, memory is None or memory >= 0, "0 (all in a file), more, or None"),
        )
        check_method(coreset)
        check_foreground(foreground, backbone)
        check_start(coreset_start)
        if coreset in UNORDERED and (coreset_start != "random" or not coreset_projection):
            msg = (
                f"coreset_start={coreset_start!r} and coreset_projection={coreset_projection} are of a greedy or "
                f"density coreset, and coreset is {coreset!r}: leave them out"
            )
            raise ValueError(msg)
        precision = check_precision(precision)
        layers = self._resolve_layers(backbone, layers)
        processor = self._resolve_pre_processor(pre_processor, backbone, image_size=image_size, center_crop=center_crop)
        # Anomalib's own __init__ is left out: it would build its network, and with it look for weights.
        super(AnomalibPatchcore, self).__init__(
            pre_processor=processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        self.hparams["precision"] = precision.value
        self.coreset_sampling_ratio = coreset_sampling_ratio
        self.support_views = support_views
        self.model = PatchcoreModel(
            backbone=architecture(backbone),
            pre_trained=False,
            layers=layers,
            num_neighbors=num_neighbors,
            neighborhood=neighborhood,
            max_memory_bytes=max_memory_bytes,
            coreset=coreset,
            foreground=foreground,
            foreground_threshold=foreground_threshold,
            unit_patches=unit_patches,
            coreset_start=coreset_start,
            coreset_projection=coreset_projection,
        )
        if precision == PrecisionType.FLOAT16:
            self.model = self.model.half()
        self._set_backbone(backbone, layers, weights=weights, pre_trained=pre_trained)
        self._set_score_pooling(score_pooling)

    @classmethod
    def fit_order(cls, init_args: Mapping[str, Any]) -> FitOrder | None:
        """The largest coreset first: smaller ones are its first part, whatever neighbors and pooling."""
        if "coreset_sampling_ratio" not in init_args:
            return None
        own = ("coreset_sampling_ratio", "num_neighbors", "score_pooling")
        shared = {name: value for name, value in init_args.items() if name not in own}
        return FitOrder(shared, -float(init_args["coreset_sampling_ratio"]))

    def bytes_of_fit(self, n_tiles: int, features: dict[str, tuple[int, int, int]]) -> tuple[int, int]:
        """All patches and their random projection, in a file where they are more than the limit, and the bank."""
        _, height, width = features[self.layers[0]]
        n_patches, n_channels = n_tiles * height * width, sum(channels for channels, *_ in features.values())
        n_bytes = 4 * n_patches * n_channels
        bank, limit = int(n_bytes * self.coreset_sampling_ratio), self.model.embedding_store.limit_on(self.device)
        n_projected = min(n_channels, int(JOHNSON * math.log(n_patches)))
        if self.model.coreset == "random" or not self.model.coreset_projection:
            n_projected = 0
        collected = n_bytes + 4 * n_patches * n_projected
        return (bank, collected) if n_bytes > limit else (collected + bank, 0)

    def on_train_epoch_start(self) -> None:
        """Forget what an earlier fit collected, and say how much will come."""
        super().on_train_epoch_start()
        n_batches = self.trainer.num_training_batches
        if self.support_views:  # an image at a time
            n_batches *= self.trainer.train_dataloader.batch_size
        self.model.embedding_store.expect(int(n_batches) if math.isfinite(n_batches) else None)


def check_precision(precision: str | PrecisionType) -> PrecisionType:
    """Return the precision as anomalib's enum; ValueError naming the two that PatchCore can use."""
    name = precision.value if isinstance(precision, PrecisionType) else precision.lower()
    allowed = {kind.value: kind for kind in (PrecisionType.FLOAT32, PrecisionType.FLOAT16)}
    if name not in allowed:
        msg = f"precision is {name!r}; expected one of {', '.join(allowed)}."
        raise ValueError(msg)
    return allowed[name]
