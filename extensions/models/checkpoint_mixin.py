"""What all our models share: checkpoints that keep the pre-processing and reload without what only a fit needs."""

from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from extensions.configuration.given import RemembersArguments

# True while load_from_checkpoint builds the model: the checkpoint brings the weights, so none are looked for.
restoring: ContextVar[bool] = ContextVar("restoring", default=False)

# Not a subclass at run time: anomalib takes every direct subclass for a model and would list the mixin.
if TYPE_CHECKING:
    from anomalib.models import AnomalibModule as _Module
else:
    _Module = object


class CheckpointMixin(RemembersArguments, _Module):
    """Mix-in for anomalib models; put it before anomalib's class."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the class, and how pictures are pre-processed, or at least what cannot be stored of it."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["class_path"] = f"{type(self).__module__}.{type(self).__qualname__}"
        transform = getattr(self.pre_processor, "transform", None)
        stored = checkpoint.get("anomalib_pre_processor_config")
        if transform is not None and stored is not None and stored.get("transform") is None:
            # anomalib could not write this transform down and would silently restore none.
            del checkpoint["anomalib_pre_processor_config"]
            checkpoint["unstored_transform"] = in_one_line(transform)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint with this model before any tensor is copied.

        Raises:
            ValueError: A pre-processor that the checkpoint could not hold is not the one given here.
        """
        found = in_one_line(getattr(self.pre_processor, "transform", None))
        if checkpoint.get("unstored_transform", found) != found:
            msg = (
                f"The checkpoint's pre-processing cannot be stored in a file: {checkpoint['unstored_transform']}; "
                f"found {found}. Give the model the same pre_processor it was trained with."
            )
            raise ValueError(msg)
        super().on_load_checkpoint(checkpoint)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, *args: Any, **kwargs: Any) -> Self:
        """Rebuild a trained model from its checkpoint; no other weights are looked for.

        Args:
            checkpoint_path: A `.ckpt` file written by anomalib's Engine.
            args: As in anomalib.
            kwargs: As in anomalib; also init args that the checkpoint does not hold, such as a pre_processor.
        """
        token = restoring.set(True)
        try:
            restored = super().load_from_checkpoint(checkpoint_path, *args, **kwargs)
        finally:
            restoring.reset(token)
        restored._given = None  # its arguments do not give what it is
        return restored


def in_one_line(transform: object) -> str:
    """A transform with its settings, as it is compared."""
    return " ".join(repr(transform).split())
