"""What every model on a frozen backbone shares: checked layers, weights by name, self-contained checkpoints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from anomalib.models.components import TimmFeatureExtractor
from torch import nn

from extensions import backbones
from extensions.backbones import ResolvedWeights, WeightsNotFoundError
from extensions.backbones.feature_source import FeatureSource
from extensions.backbones.input_channels import in_channels, set_in_channels
from extensions.backbones.transformers import check_fits
from extensions.data.imaging import Imaging
from extensions.models.common.checkpoint_mixin import CheckpointMixin, restoring
from extensions.models.common.limits import check_image_size, seen_size
from extensions.models.common.pre_processor import ImageSize, default_pre_processor, last_normalization
from extensions.models.common.reading_mixin import ReadingMixin


class BackboneMixin(ReadingMixin, CheckpointMixin):
    """Mix-in for anomalib models that compare features of a backbone; put it before anomalib's class.

    Attributes:
        backbone: timm name.
        layers: Names of the feature maps in use, highest resolution first.
        backbone_weights: Where the weights came from; None for random ones and those of a checkpoint of unknown origin.
    """

    # Backbone and layers are compared by what the checkpoint says of its tensors, which are also its weights.
    only_for_fit: ClassVar[frozenset[str]] = frozenset({"backbone", "layers", "weights", "pre_trained"})
    reductions: ClassVar[tuple[int, ...]] = (4, 8, 16)
    extractor_name: ClassVar[str] = "feature_extractor"
    uses_pixels: ClassVar[bool] = False  # whether the model looks at more of an image than its backbone's features

    backbone: str
    layers: list[str]
    backbone_weights: ResolvedWeights | None = None
    _missing_weights: WeightsNotFoundError | None = None

    @property
    def feature_source(self) -> FeatureSource | None:
        """Who is asked for features before the frozen backbone computes them; None, unless a run sets one."""
        return getattr(self.model, self.extractor_name).source

    @feature_source.setter
    def feature_source(self, source: FeatureSource | None) -> None:
        getattr(self.model, self.extractor_name).source = source

    @property
    def takes_channels(self) -> bool:
        """The backbone's first convolution can be adapted."""
        return True

    @classmethod
    def _resolve_layers(cls, backbone: str, layers: Sequence[str] | None) -> list[str]:
        backbones.register()
        with torch.random.fork_rng(devices=[]):  # looking must not change what a seed gives
            if not restoring.get():  # a checkpoint's tag may not be in this machine's manifest
                backbones.check_backbone(backbone)
            if layers is None:
                return list(backbones.default_layers(backbone, reductions=cls.reductions))
            return list(backbones.check_layers(backbone, layers))

    @staticmethod
    def _resolve_pre_processor(
        pre_processor: nn.Module | bool, backbone: str, *, image_size: ImageSize, center_crop: ImageSize | None
    ) -> nn.Module | bool:
        if pre_processor is True:
            return default_pre_processor(backbone, image_size=image_size, center_crop=center_crop)
        if (center_crop is not None or image_size not in (256, (256, 256))) and not restoring.get():
            msg = (
                f"image_size={image_size} and center_crop={center_crop} shape the default pre-processor only, but "
                f"pre_processor is {'off' if pre_processor is False else 'given'}: put the sizes into it instead."
            )
            raise ValueError(msg)
        return pre_processor

    def _set_backbone(
        self, backbone: str, layers: Sequence[str], *, weights: str | Path | None, pre_trained: bool
    ) -> None:
        """Load the weights into the extractor that the model has just built, or remember that there are none."""
        self.backbone = backbone
        self.layers = list(layers)
        self.hparams["layers"] = list(layers)
        if restoring.get():
            return
        check_image_size(self)
        if (seen := seen_size(getattr(self.pre_processor, "transform", None))) is not None:
            check_fits(backbone, seen)
        if not pre_trained:
            if weights is not None:
                msg = f"weights={str(weights)!r} is given but pre_trained=False ignores it: drop one of the two."
                raise ValueError(msg)
            return
        try:
            self.backbone_weights = self._load_weights(backbone, weights)
        except WeightsNotFoundError as error:
            # A checkpoint may still bring them (`test --ckpt_path`), so this matters only at the first use.
            self._missing_weights = error
            self._missing_weights_hook = self.model.register_forward_pre_hook(self._require_weights)

    def _load_weights(self, backbone: str, weights: str | Path | None) -> ResolvedWeights:
        """Find the weights and load them into the extractor."""
        extractor: TimmFeatureExtractor = getattr(self.model, self.extractor_name)
        return backbones.load_backbone_weights(extractor, backbone, weights)

    def _require_weights(self, *_: object) -> None:
        if self._missing_weights is not None:
            raise self._missing_weights

    @property
    def input_size(self) -> tuple[int, int] | None:
        """As anomalib's, which asks an image of three channels: height and width in px that the network sees."""
        transform = self.pre_processor.transform if self.pre_processor else None
        if transform is None:
            return None
        shape = transform(torch.zeros(1, self.imaging.n_channels, 1, 1)).shape[-2:]
        return None if shape == (1, 1) else (shape[0], shape[1])

    def set_imaging(self, imaging: Imaging) -> None:
        """Take images of the data set's number of channels: adapt all input convolutions, repeat the normalization.

        Raises:
            ValueError: The backbone, or what the model does to images, is for three channels only.
        """
        super().set_imaging(imaging)
        if in_channels(getattr(self.model, self.extractor_name)) != imaging.n_channels:
            set_in_channels(self.model, imaging.n_channels)
            self._normalize_channels(imaging.n_channels)

    def _normalize_channels(self, n: int) -> None:
        """Repeat mean and deviation of red, green and blue over the channels, in the order of the weights."""
        last = last_normalization(getattr(self.pre_processor, "transform", None))
        if last is None:
            return
        mean, std = list(last.mean), list(last.std)
        if n == 1:  # the weights are summed, so one mean stands for three
            last.mean, last.std = [sum(mean) / len(mean)], [sum(std) / len(std)]
        else:
            last.mean, last.std = ([values[place % len(values)] for place in range(n)] for values in (mean, std))

    def on_fit_start(self) -> None:
        """Refuse to train on random features when no weights were found and no checkpoint was restored."""
        super().on_fit_start()
        self._require_weights()

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Restore all tensors; with the backbone's among them its own weights are not missed any more."""
        keys = super().load_state_dict(state_dict, strict=strict, assign=assign)
        prefix = f"model.{self.extractor_name}."
        if not any(key.startswith(prefix) for key in keys.missing_keys):
            self.forget_missing_weights()
        return keys

    def forget_missing_weights(self) -> None:
        """The backbone's tensors have come from elsewhere, such as a checkpoint."""
        if self._missing_weights is not None:
            self._missing_weights = None
            self._missing_weights_hook.remove()
            del self._missing_weights_hook

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what the tensors mean: backbone, layers, origin of the weights."""
        super().on_save_checkpoint(checkpoint)
        origin = self.backbone_weights
        checkpoint["backbone"] = {
            "name": self.backbone,
            "layers": list(self.layers),
            "weights": {"sha256": origin.sha256, "source": origin.source, "license": origin.license}
            if origin is not None
            else None,
        }

    def check_settings(self, checkpoint: dict[str, Any]) -> None:
        """Compare backbone and layers, then the rest.

        Raises:
            ValueError: Another backbone or other layers, or as `CheckpointMixin.check_settings`.
        """
        stored = checkpoint.get("backbone") or {}
        hyper_parameters = checkpoint.get("hyper_parameters", {})
        backbone = stored.get("name", hyper_parameters.get("backbone", self.backbone))
        layers = list(stored.get("layers", hyper_parameters.get("layers")) or self.layers)
        if (backbone, layers) != (self.backbone, self.layers):
            msg = (
                f"The checkpoint is of backbone {backbone} with layers {', '.join(layers)}, the model of "
                f"{self.backbone} with {', '.join(self.layers)}: build it with backbone={backbone!r}, layers={layers}."
            )
            raise ValueError(msg)
        super().check_settings(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As `CheckpointMixin.on_load_checkpoint`; the weights are those of the checkpoint's origin."""
        super().on_load_checkpoint(checkpoint)
        weights = (checkpoint.get("backbone") or {}).get("weights")
        self.backbone_weights = ResolvedWeights(**weights, path=None) if weights else None
