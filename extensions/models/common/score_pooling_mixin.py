"""Models with a map whose image score is taken from it by an argument, `score_pooling`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from anomalib.data import InferenceBatch

from extensions.data.score_pooling import EXPECTED, ScorePooling
from extensions.models.common.mixin_base import MixinBase
from extensions.models.common.score_pooling import pool_scores, pooled

_OF_IMAGES = ("_image_threshold", "image_min", "image_max")  # of anomalib's post-processor


class ScorePoolingMixin(MixinBase):
    """Mix-in for anomalib models that give maps; put it before the others.

    A trained model takes another pooling without another fit: its maps stay as they are. A checkpoint may so be loaded
    into a model of another pooling. What anomalib fitted to the other scores (image threshold, least and largest score)
    does not hold for the new ones: it is forgotten, and test and prediction by the Engine are refused until a
    validation has found it anew. Thresholds of maps stay.

    Attributes:
        only_at_use: Init arguments that decide what a trained model makes of its map, so that a checkpoint may differ
            in them.
        own_pooling: What the model does by itself, as `score_pooling` names it; None where no name says it.
        score_pooling: As given, or `own_pooling`.
        lacks_image_threshold: Whether it was forgotten and not yet found anew.
        pooling_decides_fit: Whether a fit leaves more than anomalib's thresholds that comes from image scores.
    """

    only_at_use: ClassVar[frozenset[str]] = frozenset({"score_pooling"})
    own_pooling: ClassVar[str | None] = "max"
    pooling_decides_fit: ClassVar[bool] = False
    model: Any
    post_processor: Any
    score_pooling: str | None = None
    lacks_image_threshold: bool = False

    def _set_score_pooling(self, name: str | None) -> None:
        """Heed the argument, once the network is there.

        Raises:
            ValueError: It is none, or one of another model.
        """
        self.score_pooling = self.own_pooling if name is None else name
        pool_scores(self.model, self._pooling(name))

    def set_score_pooling(self, name: str | None, *, thresholds_follow: bool = False) -> None:
        """Have a trained model score by another part of its map.

        Args:
            name: As the init argument `score_pooling`.
            thresholds_follow: The caller finds image thresholds for the new scores, so that test and prediction need
                not be refused before.

        Raises:
            ValueError: It is none, or one of another model.
        """
        before = self.score_pooling
        self._set_score_pooling(name)
        self.hparams["score_pooling"] = name
        if self.score_pooling != before:
            self._forget_image_thresholds()
            self.lacks_image_threshold = not thresholds_follow

    def _pooling(self, name: str | None) -> ScorePooling | None:
        if name is None or name == self.own_pooling:
            return None
        if name == "reweighted":
            msg = (
                f"score_pooling is 'reweighted', which is PatchCore's: {type(self).__name__} has no neighbors to "
                f"weight by; expected {EXPECTED}"
            )
            raise ValueError(msg)
        try:
            return ScorePooling.named(name)
        except ValueError as error:
            if self.own_pooling != "reweighted":
                raise
            msg = f"{error}, or reweighted"
            raise ValueError(msg) from error

    @classmethod
    def pooling_in(cls, init_args: Mapping[str, Any]) -> str | None:
        """What a model of these init arguments scores by, as the attribute `score_pooling` says it."""
        found: str | None = init_args.get("score_pooling")
        return cls.own_pooling if found is None else found

    def pooled(self, images: torch.Tensor, found: InferenceBatch) -> InferenceBatch:
        """What was found in prepared images (N, C, H, W) by another way than `self.model`, scored as that does."""
        return pooled(self.model, images, found)

    def _forget_image_thresholds(self) -> None:
        """Leave nothing that was fitted to scores of another pooling."""
        for name in _OF_IMAGES:
            if isinstance(value := getattr(self.post_processor, name, None), torch.Tensor):
                value.fill_(float("nan"))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what the scores are, and whether their threshold is still to be found."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["score_pooling"] = self.score_pooling
        if self.lacks_image_threshold:
            checkpoint["lacks_image_threshold"] = True

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what the checkpoint holds of scores of another pooling."""
        super().on_load_checkpoint(checkpoint)
        self.lacks_image_threshold = bool(checkpoint.get("lacks_image_threshold"))
        # Not of its init arguments, over which Lightning has written those that were given to load it.
        older = {
            name: value for name, value in checkpoint.get("hyper_parameters", {}).items() if name != "score_pooling"
        }
        if checkpoint.get("score_pooling", self.pooling_in(older)) == self.score_pooling:
            return
        self.lacks_image_threshold = True
        state = checkpoint.get("state_dict", {})
        for name in self._of_scores:
            if name in state:
                state[name] = torch.full_like(state[name], float("nan"))

    @property
    def _of_scores(self) -> tuple[str, ...]:
        """Tensors of the state that a fit found from image scores."""
        return tuple(f"post_processor.{name}" for name in _OF_IMAGES)

    def on_validation_end(self) -> None:
        """Anomalib has found the threshold of the validation images' scores."""
        super().on_validation_end()
        if not self.trainer.sanity_checking:
            self.lacks_image_threshold = False

    def on_test_start(self) -> None:
        """Refuse thresholds of other scores.

        Raises:
            ValueError: It says what to do.
        """
        super().on_test_start()
        self._check_threshold("test")

    def on_predict_start(self) -> None:
        """Likewise."""
        super().on_predict_start()
        self._check_threshold("predict")

    def _check_threshold(self, step: str) -> None:
        if not self.lacks_image_threshold or self.post_processor is None:
            return
        msg = (
            f"this {type(self).__name__} was fitted with another score_pooling than {self.score_pooling}, so it has no "
            f"image threshold for these scores: call engine.validate(model, datamodule=...) before {step}, or leave "
            "score_pooling as it was"
        )
        raise ValueError(msg)
