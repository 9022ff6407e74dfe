"""What all our models share: checkpoints that keep the pre-processing and reload without what only a fit needs."""

from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from anomalib.utils.serialization import anomalib_safe_globals

from extensions.configuration.given_arguments_mixin import RemembersArguments
from extensions.models.common.checkpoint_settings import (
    compared,
    differences,
    in_one_line,
    pre_processing,
    stored_pre_processing,
    told,
)
from extensions.models.common.mixin_base import MixinBase

# True while load_from_checkpoint builds the model: the checkpoint brings the weights, so none are looked for.
restoring: ContextVar[bool] = ContextVar("restoring", default=False)
_is_given: ContextVar[bool] = ContextVar("_is_given", default=False)  # a pre_processor, to load_from_checkpoint


class CheckpointMixin(RemembersArguments, MixinBase):
    """Mix-in for anomalib models; put it before anomalib's class.

    A checkpoint can only be loaded into a model that was built as the one that wrote it: whatever init argument decides
    scores is compared. Before the checkpoint is loaded the data were already given the model's size.

    Attributes:
        only_for_fit: Init arguments that change no score of a trained model, so that a checkpoint may differ in them;
            those of the parent classes count, too.
    """

    only_for_fit: ClassVar[frozenset[str]] = frozenset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the class, and how images are pre-processed, or at least what cannot be stored of it."""
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
            ValueError: It is of a model that was built otherwise; the message names what differs, both values and what
                to do.
        """
        self.check_settings(checkpoint)
        super().on_load_checkpoint(checkpoint)

    def check_settings(self, checkpoint: dict[str, Any]) -> None:
        """Compare what decides scores: init arguments, then the pre-processor, which may have been given.

        Raises:
            ValueError: As `on_load_checkpoint`.
        """
        if found := differences(type(self), self.hparams, checkpoint.get("hyper_parameters")):
            raise ValueError(told(found))
        own, stored = pre_processing(self.pre_processor), stored_pre_processing(checkpoint)
        is_unstored = "unstored_transform" in checkpoint
        # A model that is rebuilt from a checkpoint has its default pre-processor until the checkpoint brings its own.
        is_chosen = is_unstored or not restoring.get() or _is_given.get()
        if is_chosen and own != stored and None not in (own, stored):
            why = "cannot be stored in a file" if is_unstored else "is another one than the model's"
            msg = (
                f"The checkpoint's pre-processing {why}: {stored}; found {own}. Give the model the same pre_processor "
                "it was trained with."
            )
            raise ValueError(msg)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, *args: Any, **kwargs: Any) -> Self:
        """Rebuild a trained model from its checkpoint; no other weights are looked for.

        Args:
            checkpoint_path: A `.ckpt` file written by anomalib's Engine.
            args: As in anomalib.
            kwargs: As in anomalib; also init args that the checkpoint does not hold, such as a pre_processor.

        Raises:
            ValueError: An init arg that decides scores is not that of the checkpoint.
        """
        # Lightning writes what is given over what the checkpoint holds, so that nothing could be compared afterwards.
        if given := {name: value for name, value in kwargs.items() if name in compared(cls)}:
            with anomalib_safe_globals(extra=cls.checkpoint_safe_globals()):
                stored = torch.load(checkpoint_path, map_location="cpu", weights_only=True)
            if found := differences(cls, given, stored.get("hyper_parameters")):
                raise ValueError(told(found))
        token = restoring.set(True)
        token_given = _is_given.set(kwargs.get("pre_processor", True) is not True)
        try:
            restored = super().load_from_checkpoint(checkpoint_path, *args, **kwargs)
        finally:
            _is_given.reset(token_given)
            restoring.reset(token)
        restored._given = None  # its arguments do not give what it is
        return restored
