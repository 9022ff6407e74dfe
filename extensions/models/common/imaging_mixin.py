"""Models that keep what their data set says of its images, and apply it on the line."""

from __future__ import annotations

from typing import Any

from extensions.data.channels import RGB
from extensions.data.imaging import Imaging, imaging_of, unknown_imaging
from extensions.models.common.mixin_base import MixinBase


class ImagingMixin(MixinBase):
    """Mix-in for anomalib models, see `extensions.data.imaging.Imaging`.

    Attributes:
        imaging: Of the data set that the model was, or is to be, trained on.
    """

    imaging: Imaging = Imaging()

    @property
    def takes_channels(self) -> bool:
        """Whether `set_imaging` can make the model one for images of other than three channels."""
        return False

    def setup(self, stage: str) -> None:
        """Take over what the data set says before a training, see `take_imaging`."""
        super().setup(stage)
        if stage == "fit":
            self._take_imaging(is_training=True)

    def on_fit_start(self) -> None:
        """Compare with the data set what a checkpoint has brought meanwhile, to be trained on."""
        super().on_fit_start()
        self._take_imaging(is_training=False)

    def on_validation_start(self) -> None:
        """Compare it with that of the data set; the checkpoint, if there is one, has been loaded by now."""
        super().on_validation_start()
        if self.trainer.state.fn == "validate":
            self._take_imaging(is_training=False)

    def on_test_start(self) -> None:
        """Likewise."""
        super().on_test_start()
        self._take_imaging(is_training=False)

    def on_predict_start(self) -> None:
        """Likewise."""
        super().on_predict_start()
        self._take_imaging(is_training=False)

    def _take_imaging(self, *, is_training: bool) -> None:
        if self._trainer is not None and self.trainer.datamodule is not None:
            take_imaging(self, self.trainer.datamodule, is_training=is_training)

    def set_imaging(self, imaging: Imaging) -> None:
        """Keep it; models and mix-ins that heed a part of it extend this.

        Raises:
            ValueError: The images have other than three channels, which the model cannot take.
        """
        if imaging.n_channels != RGB and not self.takes_channels:
            msg = (
                f"{type(self).__name__} as it is set takes images of {RGB} channels only, the data set has "
                f"{imaging.n_channels}: choose another detector, such as extensions.Padim without support_views, or "
                "three of the channels"
            )
            raise ValueError(msg)
        self.imaging = imaging

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what is set."""
        super().on_save_checkpoint(checkpoint)
        if not self.imaging.is_plain:
            checkpoint["imaging"] = self.imaging.stored()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over what the checkpoint stores, before its tensors and its pre-processing are compared."""
        imaging = Imaging.of(checkpoint.get("imaging", {}))
        if imaging != self.imaging:
            self.set_imaging(imaging)
        super().on_load_checkpoint(checkpoint)


def take_imaging(model: Any, datamodule: Any, *, is_training: bool = True) -> None:
    """Have a model heed what a data set says of its images; to be called before it sees the first.

    Args:
        model: One of ours heeds it; others are refused where there is something to heed.
        datamodule: One of ours may say something.
        is_training: Whether the model is about to be trained; a trained model is only tested on images of its kind.

    Raises:
        ValueError: The model is none of ours, or it was trained on images of another kind.
    """
    found, name = imaging_of(datamodule), type(model).__name__
    if not isinstance(model, ImagingMixin):
        if not found.is_plain:
            raise unknown_imaging(model, datamodule)
        return
    if is_training:
        if found != model.imaging:
            model.set_imaging(found)
    elif (of_reading := differing(found, model.imaging)) and hasattr(datamodule, "imaging"):
        told = "; ".join(
            f"{part} is {_told(getattr(found, part))} there and {_told(getattr(model.imaging, part))} in training"
            for part in of_reading
        )
        msg = (
            f"{name} was trained on images that are read otherwise than those of the data set {datamodule.name!r}: "
            f"{told}; give the data set what training had, or train anew"
        )
        raise ValueError(msg)
    elif not found.is_plain and found != model.imaging:
        wanted, own = (", ".join(one.names) or "none of it" for one in (found, model.imaging))
        msg = (
            f"the data set {datamodule.name!r} sets {wanted} otherwise than the data set that {name} was trained on "
            f"({own} set there): give it the same settings, or train anew"
        )
        raise ValueError(msg)


def differing(one: Imaging, other: Imaging) -> list[str]:
    """The parts that decide how files are read, and that differ."""
    return [part for part in ("range", "channels") if getattr(one, part) != getattr(other, part)]


def _told(part: Any) -> str:
    return "not set" if part is None else str(part)
