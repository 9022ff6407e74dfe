"""The ensemble as a Lightning module."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from anomalib import LearningType
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from anomalib.models import AnomalibModule
from anomalib.pre_processing.utils.transform import get_exportable_transform
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones.frozen import FrozenFeatureExtractor
from extensions.configuration.checked_values import check_values, check_whole
from extensions.data.imaging import Imaging
from extensions.models.common.checkpoint_mixin import CheckpointMixin
from extensions.models.common.reading_mixin import ReadingMixin
from extensions.models.ensemble.combine import COMBINE
from extensions.models.ensemble.fitting import FitSettings, fit_member, measure_scale
from extensions.models.ensemble.members import Member, read_members
from extensions.models.ensemble.shaping import SharedPreProcessor, shaping_of
from extensions.models.ensemble.torch_model import EnsembleModel
from extensions.runtime.seeding import seeded
from extensions.transforms import Augmentation

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule

    from extensions.backbones.feature_source import FeatureSource
    from extensions.cache.store import WorkCache


class Ensemble(ReadingMixin, CheckpointMixin, AnomalibModule):
    """Several detectors as one: the mean, or the maximum, of their scores and maps on a common scale.

    Averages of standardized outlier scores: Aggarwal and Sathe, "Theoretical Foundations and Algorithms for Outlier
    Ensembles", 2015, https://doi.org/10.1145/2830544.2830549. A score is in standard deviations of the scores of
    held-out good training images above their mean, a map in those of their pixels; higher is more anomalous. Differs
    from the paper, which standardizes by the scores that are judged: here no test image has a say. A share of the good
    training images is drawn, copies and parts on one side; each member is fitted without it and scores it, which gives
    its scale, and then fitted on all images for use. A member that is a kept run is used as it was trained; its scale
    is the one beside it, or is measured by fitting its like.

    Each member is fitted by an Engine of its own, with the seed and the settings of a run of its own, so that it is
    the detector that such a run gives. Tiles and regions of interest are refused.

    Args:
        members: Two or more, each a mapping with `class_path`, `init_args` and, for a model that is trained by
            gradient, `trainer` with its epochs; or the folder of a kept run, or a checkpoint. They may see images of
            other sizes and normalize otherwise, but must see the same part of an image.
        combine: `mean` or `maximum` of what the members say.
        held_out_ratio: Share of the good training images that the scales are measured on, in (0, 1).
        seed: Of that draw and of the members' fits; None takes that of `seed_everything`, else 0.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ConfigError: An entry of `members` that is none.
        ValueError: Members that do not go together, or a number out of its range.

    Example:
        >>> on = {"class_path": "extensions.Patchcore", "init_args": {"backbone": "resnet18"}}
        >>> other = {"class_path": "extensions.Padim", "init_args": {"backbone": "tf_efficientnet_lite0"}}
        >>> Engine().fit(Ensemble([on, other]), datamodule=Elpv())
    """

    only_for_fit: ClassVar[frozenset[str]] = frozenset({"held_out_ratio", "seed"})
    regions: ClassVar[Literal["any", "fixed", "none"]] = "none"
    model: EnsembleModel
    members: list[AnomalibModule]
    work_cache: WorkCache | None = None  # of a run, see `CachedRun`

    def __init__(
        self,
        members: Sequence[str | Path | dict[str, Any]],
        *,
        combine: str = "mean",
        held_out_ratio: float = 0.25,
        seed: int | None = None,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        check_whole(seed=seed)
        check_values(
            combine=(combine, combine in COMBINE, " or ".join(COMBINE)),
            held_out_ratio=(held_out_ratio, 0 < held_out_ratio < 1, "a share greater than 0 and less than 1"),
            seed=(seed, seed is None or seed >= 0, "0 or more, or None"),
        )
        read = read_members(members)
        super().__init__(pre_processor=False, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer)
        self.hparams["members"] = [member.described for member in read]
        self.combine, self.held_out_ratio, self.seed = combine, held_out_ratio, seed
        self.described: list[Member] = read
        self.bank_seconds: float | None = 0.0
        self._sources: list[FeatureSource | None] = [None] * len(read)
        built = []
        for member in read:
            with seeded(self._fit_seed):  # so that a backbone without weights is the one that the fit will have
                built.append(member.build())
        self._take_members(built)

    @property
    def _fit_seed(self) -> int:
        return int(os.environ.get("PL_GLOBAL_SEED", "0")) if self.seed is None else self.seed

    def _take_members(self, models: list[AnomalibModule]) -> None:
        """Put models in place as members, whatever there was; features of another backbone than before are unknown."""
        shaping, before = shaping_of(models), self.__dict__.get("members", models)
        pairs = zip(self._sources, before, models, strict=True)
        sources = [source if _backbone_of(old) == _backbone_of(new) else None for source, old, new in pairs]
        # Not registered as modules: Lightning would give them its trainer, and their tensors are in `model`.
        self.__dict__["members"] = [model.eval() for model in models]
        self.shaping = shaping
        if self.pre_processor is None:
            self.pre_processor = SharedPreProcessor(transform=shaping.shared)
        else:  # which the trainer holds already
            self.pre_processor.transform = shaping.shared
            self.pre_processor.export_transform = get_exportable_transform(shaping.shared)
        self.model = EnsembleModel(
            [model.model for model in models], shaping.own, map_size=shaping.map_size, combine=self.combine
        )
        self.feature_source = sources

    @property
    def feature_source(self) -> list[FeatureSource | None]:
        """Who is asked for features before the members' frozen backbones compute them; None for each that has none."""
        return self._sources

    @feature_source.setter
    def feature_source(self, sources: list[FeatureSource | None] | None) -> None:
        self._sources = sources or [None] * len(self.members)
        for member, source in zip(self.members, self._sources, strict=True):
            if hasattr(member, "feature_source"):
                member.feature_source = source

    @staticmethod
    def configure_optimizers() -> None:
        """Members are fitted on their own."""

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """One batch passes, for the hooks of a training; the members see all images in fits of their own."""
        return {"max_epochs": 1, "num_sanity_val_steps": 0, "devices": 1, "limit_train_batches": 1}

    @property
    def learning_type(self) -> LearningType:
        """Learns from normal images only."""
        return LearningType.ONE_CLASS

    @property
    def takes_channels(self) -> bool:
        """Whether all members do."""
        return all(getattr(member, "takes_channels", False) for member in self.members)

    @property
    def can_score(self) -> bool:
        """Once the members were fitted."""
        return self.model.is_fitted

    def set_imaging(self, imaging: Imaging) -> None:
        """Keep it, in all members.

        Raises:
            ValueError: A region of interest or tiles, or what a member refuses.
        """
        if imaging.tiling is not None:
            msg = (
                "Ensemble looks at whole images, but the data set sets a tiling: take tiling out of the data set, or "
                "choose one of the members alone"
            )
            raise ValueError(msg)
        super().set_imaging(imaging)
        for member in self.members:
            if hasattr(member, "set_imaging") and member.imaging != imaging:
                member.set_imaging(imaging)
        self._take_members(self.members)

    def on_train_start(self) -> None:
        """Measure the members' scales and fit them.

        Raises:
            ValueError: There is no datamodule, or what `measure_scale` raises.
        """
        super().on_train_start()
        datamodule = self._datamodule()
        settings = FitSettings(
            seed=self._fit_seed,
            held_out_ratio=self.held_out_ratio,
            accelerator="cpu" if self.device.type == "cpu" else "gpu",
            cache=self.work_cache,
        )
        for member in self.described:
            self._check_data(member, datamodule)
        scales = [member.scale or measure_scale(member, datamodule, settings) for member in self.described]
        models = [
            member.build() if member.checkpoint is not None else fit_member(member, datamodule, settings)
            for member in self.described
        ]
        reused = settings.bank_seconds
        self.bank_seconds = None if None in reused else sum(one for one in reused if one is not None)
        self._take_members(models)
        self.model.set_scales(scales)
        self.model.to(self.device)

    def _datamodule(self) -> AnomalibDataModule:
        """Of the trainer, as it is without a cache."""
        datamodule = self.trainer.datamodule
        if datamodule is None:
            msg = (
                "an Ensemble holds training images out and fits its members itself, for which it needs a datamodule, "
                "and the Engine was given loaders: give it datamodule=…"
            )
            raise ValueError(msg)
        if any(isinstance(one, Augmentation) and one.settings.in_training for one in self.trainer.callbacks):
            msg = (
                "an Ensemble fits its members itself, where an augmentation of training images would not reach them: "
                "leave it out, or choose one of the members alone"
            )
            raise ValueError(msg)
        found: AnomalibDataModule = getattr(datamodule, "uncached", datamodule)
        return found

    @staticmethod
    def _check_data(member: Member, datamodule: AnomalibDataModule) -> None:
        own = (str(datamodule.name), getattr(datamodule, "category", None) or "")
        if member.dataset is not None and member.dataset != own:
            there, here = (" ".join(filter(None, names)) for names in (member.dataset, own))
            msg = (
                f"{member.checkpoint}: this run was trained on {there}, and the Ensemble is fitted on {here}: give "
                "runs of the same data"
            )
            raise ValueError(msg)
        if member.n_train is not None and member.n_train != (n_train := len(datamodule.train_data)):
            msg = (
                f"{member.checkpoint}: this run was trained on {member.n_train} images, and the Ensemble is fitted on "
                f"{n_train}, so that it may have seen those that are left out: describe the member by class_path and "
                "init_args, which fits it anew"
            )
            raise ValueError(msg)

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Nothing is left to do."""
        del batch, args, kwargs
        return torch.tensor(0.0, requires_grad=True, device=self.device)

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Score images."""
        del args, kwargs
        return batch.update(**self.model(batch.image)._asdict())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what the members' tensors mean, as their own checkpoints would."""
        super().on_save_checkpoint(checkpoint)
        checkpoint.pop("unstored_transform", None)  # it follows from those of the members
        stored = []
        for member in self.members:
            part: dict[str, Any] = {"hyper_parameters": dict(member.hparams)}
            member.on_save_checkpoint(part)
            stored.append(part)
        checkpoint["members"] = stored

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the members with those of the checkpoint, and take over what it stores of them."""
        super().on_load_checkpoint(checkpoint)
        for member, part in zip(self.members, checkpoint["members"], strict=True):
            member.on_load_checkpoint(part)
        self._take_members(self.members)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Restore all tensors; the members' weights are not missed any more."""
        keys = super().load_state_dict(state_dict, strict=strict, assign=assign)
        missing = {key.split(".")[2] for key in keys.missing_keys if key.startswith("model.members.")}
        for place, member in enumerate(self.members):
            if str(place) not in missing and hasattr(member, "forget_missing_weights"):
                member.forget_missing_weights()
        return keys


def _backbone_of(member: AnomalibModule) -> dict[str, str] | None:
    """What decides the features of a member's frozen backbone; None where it has none."""
    extractor = getattr(member.model, getattr(member, "extractor_name", ""), None)
    return extractor.identity() if isinstance(extractor, FrozenFeatureExtractor) else None
