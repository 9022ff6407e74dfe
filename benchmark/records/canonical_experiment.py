"""What was run, as records and plans keep it: classes, arguments, seed, refinement, augmentation."""

from __future__ import annotations

from typing import Any

from benchmark.records.section import Section
from extensions.data.joint_training import TESTED, training_of


class ClassSpec(Section):
    """A class and its arguments, as in a configuration; arguments at their defaults are left out."""

    class_path: str = ""
    init_args: dict[str, Any] = {}

    @property
    def training(self) -> str:
        """Of data: `one_for_all` where several products train together, else `one_each`."""
        return training_of(self.init_args)


class AugmentationPart(Section):
    """One augmentation and where: `train`, `test`, `both` or `tta`, which alone merges views."""

    name: str
    where: str
    n_views: int | None = None
    merge: str | None = None


class CanonicalExperiment(Section):
    """What was run, see `benchmark.plan.experiment.Experiment.canonical`."""

    model: ClassSpec = ClassSpec()
    data: ClassSpec = ClassSpec()
    trainer: dict[str, Any] = {}
    seed: int = 0
    refinement: dict[str, Any] | None = None
    augmentation: list[AugmentationPart] = []

    @property
    def views(self) -> AugmentationPart | None:
        """The augmentation that merges several views of a test image."""
        return next((part for part in self.augmentation if part.where == "tta"), None)

    @property
    def only_ranks(self) -> bool:
        """Whether it trains no detector and so has no place in the leaderboard."""
        return (self.refinement or {}).get("retrain") == "never"

    @property
    def is_review(self) -> bool:
        """Whether a person said which training images are removed."""
        return (self.refinement or {}).get("strategy") == "review"


CATEGORY = ("category", "cells")
"""Arguments of a datamodule that name its category; `cells` is that of `extensions.Elpv`."""


def is_location(argument: str) -> bool:
    """Whether an argument of a datamodule says where data lie or what they are called, or which of them are tested."""
    return argument in {"category", "name", "products", "root", *TESTED} or argument.endswith("_dir")
