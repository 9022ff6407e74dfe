"""What a run with augmented images needs beside a plain one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from extensions.configuration import ConfigError

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from extensions.transforms import AugmentationSettings


def augmenting_callbacks(augmentations: Sequence[AugmentationSettings], seed: int) -> list[Callback]:
    """What does it, for the trainer."""
    from extensions.transforms import Augmentation

    return [Augmentation(one.name, one.where, n_views=one.n_views, merge=one.merge, seed=seed) for one in augmentations]


def augmented_splits(augmentations: Sequence[AugmentationSettings]) -> set[str]:
    """The splits whose features must come from no cache."""
    trained = {"train"} if any(one.in_training for one in augmentations) else set()
    return trained | ({"test", "val"} if any(one.in_test for one in augmentations) else set())


def is_augmenting(spec: Any) -> bool:
    """Whether an entry of `trainer.callbacks` is `extensions.Augmentation`, by whichever of its names."""
    path = str(spec.get("class_path") if isinstance(spec, dict) else spec)
    return path == "Augmentation" or (path.startswith("extensions.") and path.endswith(".Augmentation"))


def without_augmentation(trainer: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]] | None]:
    """Arguments of the trainer of the command line without its augmentations, and these as a section `augmentation`.

    Raises:
        ConfigError: One has a seed of its own, which no record holds.
    """
    callbacks = trainer.get("callbacks") or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    found = [dict(spec.get("init_args") or {}) for spec in callbacks if is_augmenting(spec) and isinstance(spec, dict)]
    if any(arguments.pop("seed", None) is not None for arguments in found):
        msg = "Augmentation: a record's augmentations are drawn by the seed of the run; remove their own 'seed'"
        raise ConfigError(msg)
    rest = {**trainer, "callbacks": [spec for spec in callbacks if not is_augmenting(spec)]}
    return (rest if rest["callbacks"] else {k: v for k, v in rest.items() if k != "callbacks"}), found or None
