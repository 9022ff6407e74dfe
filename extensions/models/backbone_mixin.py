"""What every model on a frozen backbone shares: checked layers, weights by name, self-contained checkpoints."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from anomalib.models.components import TimmFeatureExtractor
from torch import nn

from extensions import backbones
from extensions.backbones import ResolvedWeights, WeightsNotFoundError
from extensions.models.pre_processor import ImageSize, default_pre_processor

# True while load_from_checkpoint builds the model: the checkpoint brings the weights, so none are looked for.
_restoring: ContextVar[bool] = ContextVar("restoring", default=False)

# Not a subclass at run time: anomalib takes every direct subclass for a model and would list the mixin.
if TYPE_CHECKING:
    from anomalib.models import AnomalibModule as _Module
else:
    _Module = object


class BackboneMixin(_Module):
    """Mix-in for anomalib models that compare features of a backbone; put it before anomalib's class.

    Attributes:
        backbone: timm name.
        layers: Names of the feature maps in use, highest resolution first.
        backbone_weights: Where the weights came from; None for random ones and those of a checkpoint of unknown origin.
    """

    reductions: ClassVar[tuple[int, ...]] = (4, 8, 16)
    extractor_name: ClassVar[str] = "feature_extractor"
    uses_pixels: ClassVar[bool] = False  # whether the model looks at more of a picture than its backbone's features

    backbone: str
    layers: list[str]
    backbone_weights: ResolvedWeights | None = None
    _missing_weights: WeightsNotFoundError | None = None

    @classmethod
    def _resolve_layers(cls, backbone: str, layers: Sequence[str] | None) -> list[str]:
        backbones.register()
        with torch.random.fork_rng(devices=[]):  # looking must not change what a seed gives
            if not _restoring.get():  # a checkpoint's tag may not be in this machine's manifest
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
        if (center_crop is not None or image_size not in (256, (256, 256))) and not _restoring.get():
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
        if _restoring.get():
            return
        if not pre_trained:
            if weights is not None:
                msg = f"weights={str(weights)!r} is given but pre_trained=False ignores it: drop one of the two."
                raise ValueError(msg)
            return
        extractor: TimmFeatureExtractor = getattr(self.model, self.extractor_name)
        try:
            self.backbone_weights = backbones.load_backbone_weights(extractor, backbone, weights)
        except WeightsNotFoundError as error:
            # A checkpoint may still bring them (`test --ckpt_path`), so this matters only at the first use.
            self._missing_weights = error
            self._missing_weights_hook = self.model.register_forward_pre_hook(self._require_weights)

    def _require_weights(self, *_: object) -> None:
        if self._missing_weights is not None:
            raise self._missing_weights

    def on_fit_start(self) -> None:
        """Refuse to train on random features when no weights were found and no checkpoint was restored."""
        super().on_fit_start()
        self._require_weights()

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Restore all tensors; with the backbone's among them its own weights are not missed any more."""
        keys = super().load_state_dict(state_dict, strict=strict, assign=assign)
        prefix = f"model.{self.extractor_name}."
        if self._missing_weights is not None and not any(key.startswith(prefix) for key in keys.missing_keys):
            self._missing_weights = None
            self._missing_weights_hook.remove()
            del self._missing_weights_hook
        return keys

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what the tensors mean: class, backbone, layers, origin of the weights, pre-processing if need be."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["class_path"] = f"{type(self).__module__}.{type(self).__qualname__}"
        origin = self.backbone_weights
        checkpoint["backbone"] = {
            "name": self.backbone,
            "layers": list(self.layers),
            "weights": {"sha256": origin.sha256, "source": origin.source, "licence": origin.licence}
            if origin is not None
            else None,
        }
        transform = getattr(self.pre_processor, "transform", None)
        stored = checkpoint.get("anomalib_pre_processor_config")
        if transform is not None and stored is not None and stored.get("transform") is None:
            # anomalib could not write this transform down and would silently restore none.
            del checkpoint["anomalib_pre_processor_config"]
            checkpoint["unstored_transform"] = _in_one_line(transform)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint with this model before any tensor is copied.

        Raises:
            ValueError: Another backbone or other layers, or a pre-processor that the checkpoint could not hold is not
                the one given here.
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
        transform = getattr(self.pre_processor, "transform", None)
        found = _in_one_line(transform)
        if checkpoint.get("unstored_transform", found) != found:
            msg = (
                f"The checkpoint's pre-processing cannot be stored in a file: {checkpoint['unstored_transform']}; "
                f"found {found}. Give the model the same pre_processor it was trained with."
            )
            raise ValueError(msg)
        super().on_load_checkpoint(checkpoint)
        weights = stored.get("weights")
        self.backbone_weights = ResolvedWeights(**weights, path=None) if weights else None

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, *args: Any, **kwargs: Any) -> Self:
        """Rebuild a trained model from its checkpoint; no backbone weights are looked for.

        Args:
            checkpoint_path: A `.ckpt` file written by anomalib's Engine.
            args: As in anomalib.
            kwargs: As in anomalib; also init args that the checkpoint does not hold, such as a pre_processor.
        """
        token = _restoring.set(True)
        try:
            return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)
        finally:
            _restoring.reset(token)


def _in_one_line(transform: object) -> str:
    return " ".join(repr(transform).split())
