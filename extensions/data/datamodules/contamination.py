"""Training data with defects among them, tested on one and the same test set at every ratio."""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pandas as pd

from extensions.data.datamodules.checked_arguments import checked_ratio
from extensions.data.datamodules.datamodule import WorkbenchDataModule
from extensions.data.datamodules.elpv import Elpv
from extensions.data.datamodules.folder import Folder
from extensions.data.datamodules.listing import COLUMNS
from extensions.data.datamodules.mvtec_ad import MVTecAD
from extensions.data.datamodules.parts import without_parts
from extensions.data.datamodules.set_aside import (
    injection_order,
    kind_of_each,
    largest_possible,
    n_available,
    n_injected,
)
from extensions.data.errors import DatasetError
from extensions.data.groups import GROUP
from extensions.data.synthetic.shifted_copies import shifted_copies
from extensions.runtime.progress import progress_bar


class Contaminated(WorkbenchDataModule):
    """What the contaminated datamodules share: defects taken out of the test set, some of them put into training.

    As many defects as ``largest_ratio`` needs are set aside, in proportion to their kinds; they are never tested. Of
    these, the first ``ratio / (1 - ratio) * n_normal`` are injected into the training images. So for one seed the
    test set is the same at every ratio and every ``repeats``, what a smaller ratio injects a larger one injects, too,
    and no image is both trained on and tested. The choice is drawn from the seed and the content of the defects, not
    from their names or folders. Images of equal content count as one defect: they are set aside together and injected
    once. What carries two kinds is never injected, and one defect of each kind stays in the test set.

    An injected sample says that it is normal (``label_index`` 0, no mask), as nobody would have known better; only the
    columns ``kind`` (of defect) and ``injected`` tell the truth. What ``val_split_mode`` moves out of training takes
    injected samples along; copies of one defect are not torn apart. The rows of ``train_data.samples`` are sorted by
    path, so where they stand may give them away: break ties at random.

    With ``repeats`` above 1 a defect recurs: as many images are injected, but of fewer defects. The first image of
    a defect is the original, the others are shifted by up to 3 % and turned by up to 3 degrees, the border mirrored.
    This is how Wang et al. (2025) make defects that vouch for each other: SoftPatch+, https://arxiv.org/abs/2412.20870;
    the size of the shifts: https://github.com/TencentYoutuResearch/AnomalyDetection-SoftPatch/issues/14. Differs from
    the paper: what is injected is not tested, and every defect recurs, not only where the data run out. A fixed test
    set that ratios share is that of Wang et al. (2024): Real-IAD, https://arxiv.org/abs/2403.12580.

    Args:
        args: as the plain datamodule's.
        contamination_ratio: share of defects among the training images, 0 to ``largest_ratio``; after ``setup`` the
            share that was realised.
        largest_ratio: share for which defects are set aside; compare only what has the same.
        repeats: images of each injected defect, 1 or more.
        seed: of what is set aside and injected, and of every split; None for the seed of the recorded run, 0 elsewhere.
        kwargs: as the plain datamodule's; ``k_shot`` only with a ratio of 0.

    Raises:
        ValueError: a ratio or a number of repeats that cannot be, or defects among the images of ``k_shot``.
        DatasetError: on ``setup`` when there are too few defects; it names the largest possible ratio.
    """

    def __init__(
        self,
        *args: Any,
        contamination_ratio: float = 0.0,
        largest_ratio: float = 0.15,
        repeats: int = 1,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, seed=seed or 0, **kwargs)
        self._takes_run_seed = seed is None
        self.contamination_ratio = checked_ratio(contamination_ratio, "contamination_ratio")
        self.largest_ratio = checked_ratio(largest_ratio, "largest_ratio")
        self.repeats = repeats
        if contamination_ratio > largest_ratio:
            msg = (
                f"contamination_ratio is {contamination_ratio}; expected at most largest_ratio, which is "
                f"{largest_ratio}: raise that too, for all runs that are to be compared"
            )
            raise ValueError(msg)
        if self.k_shot is not None and contamination_ratio:
            msg = (
                f"k_shot is {self.k_shot} and contamination_ratio {contamination_ratio}; expected one of the two, for "
                "a share of so few images is no whole number of defects: leave one out"
            )
            raise ValueError(msg)
        if repeats < 1:
            msg = f"repeats is {repeats}; expected 1 (each defect once) or more"
            raise ValueError(msg)
        self._requested_ratio = contamination_ratio
        self._n_set_aside = 0
        self._defect_of: dict[str, str] = {}  # content of the original, by the path of an injected image
        self._contamination: dict[str, Any] = {}
        self._injected: frozenset[str] = frozenset()

    def take_run_seed(self, seed: int) -> None:
        """Let a run's own seed draw what is left to it; to be called before ``setup``."""
        super().take_run_seed(seed)
        if self._takes_run_seed:
            self.seed = seed

    @property
    def contamination(self) -> dict[str, Any]:
        """What was realised in the training images, JSON-able; known after ``setup``.

        ``ratio`` of injected images (``requested_ratio`` beside it), ``n_injected``, ``n_defects`` that differ,
        ``repeats``, ``kinds`` (injected images of each kind), ``largest_ratio``, ``n_set_aside`` (defects that are
        not tested), ``n_injected_validation`` (images that ``val_split_mode`` took out of training).
        """
        self.setup()
        return self._contamination

    @property
    def injected(self) -> frozenset[str]:
        """``image_path`` of the injected images in training, as set up; for evaluation only."""
        self.setup()
        return self._injected

    def _setup(self, stage: str | None = None) -> None:
        super()._setup(stage)
        train, val = self.train_data.samples, self.val_data.samples
        injected = train[train["injected"]]
        self._injected = frozenset(injected["image_path"])
        self.contamination_ratio = len(injected) / max(1, int((~train["known"]).sum()))
        self._contamination = {
            "ratio": self.contamination_ratio,
            "requested_ratio": self._requested_ratio,
            "largest_ratio": self.largest_ratio,
            "repeats": self.repeats,
            "n_injected": len(injected),
            "n_defects": len({self._defect_of[path] for path in self._injected}),
            "kinds": dict(sorted(Counter(injected["kind"].tolist()).items())),
            "n_set_aside": self._n_set_aside,
            "n_injected_validation": int(val["injected"].sum()),
        }

    def _adopt(self, parts: Mapping[str, Self]) -> None:
        super()._adopt(parts)
        self._n_set_aside = sum(part._n_set_aside for part in parts.values())
        self._defect_of = {path: content for part in parts.values() for path, content in part._defect_of.items()}

    def _draw_test(self, samples: pd.DataFrame) -> pd.DataFrame:
        """The samples with the defects that were set aside left out of the test set, or moved to training."""
        samples = super()._draw_test(samples).assign(injected=False)
        defects = self._tested_defects(samples)
        n_normal = int((samples["split"] == "train").sum())
        order = self._set_aside(defects, n_normal)
        tested = without_parts(samples, defects.index[defects["content"].isin(order)])
        chosen = defects.drop_duplicates("content").set_index("content").loc[order]
        injected = self._recurring(chosen, n_injected(self._requested_ratio, n_normal))
        return pd.concat([tested, injected], ignore_index=True) if len(injected) else tested

    def _set_aside(self, defects: pd.DataFrame, n_normal: int) -> list[str]:
        """Contents of the defects that are not tested, in the order in which they are injected."""
        kind_of = kind_of_each(defects)
        self._n_set_aside = n_injected(self.largest_ratio, n_normal)
        if self._n_set_aside and not kind_of:
            msg = (
                f"data set {self.name!r} has no defective images to put among the training images; expected some "
                "in its test set: for a folder, name them by abnormal_dir, or set largest_ratio to 0"
            )
            raise DatasetError(msg)
        if self._n_set_aside > n_available(kind_of):
            msg = (
                f"data set {self.name!r} cannot give a largest_ratio of {self.largest_ratio}: beside {n_normal} normal "
                f"training images that takes {self._n_set_aside} defects, but of {len(kind_of)} (of "
                f"{len(set(kind_of.values()))} kinds, one of each stays in the test set) only {n_available(kind_of)} "
                f"can be had; set it to {largest_possible(kind_of, n_normal)} at most"
            )
            raise DatasetError(msg)
        if self._requested_ratio and not n_injected(self._requested_ratio, n_normal):
            smallest = 1 / (n_normal + 1)
            msg = (
                f"a contamination_ratio of {self._requested_ratio} is less than one defect beside the {n_normal} "
                f"normal training images of data set {self.name!r}; set it to 0, or to {smallest:.3f} or more"
            )
            raise DatasetError(msg)
        return injection_order(kind_of, self._n_set_aside, seed=self.seed)

    def _recurring(self, defects: pd.DataFrame, n: int) -> pd.DataFrame:
        """``n`` training samples of the first of these defects, each ``repeats`` times."""
        sources = defects.iloc[: math.ceil(n / self.repeats)]
        known = list(zip(map(str, sources.index), sources["image_path"], sources["kind"], strict=True))
        parts = sources[GROUP].tolist() if GROUP in sources else None
        rows, part_of = [], []
        for place, (content, original, kind) in enumerate(progress_bar(known, title="shifting defects", unit="defect")):
            copies = shifted_copies(Path(original), content, self.repeats - 1, seed=self.seed)
            for path in (original, *map(str, copies)):
                rows.append((path, "", 0, kind, "train", True))
                part_of.append(parts[place] if parts else "")
                self._defect_of[path] = content
        injected = pd.DataFrame(rows[:n], columns=[*COLUMNS, "injected"])
        return injected.assign(**{GROUP: part_of[:n]}) if parts else injected

    def _contents(self, samples: pd.DataFrame) -> list[str]:
        """Shifted copies count as copies of their original, so that a split does not tear them apart."""
        contents = zip(samples["image_path"], super()._contents(samples), strict=True)
        return [self._defect_of.get(path, content) for path, content in contents]


class ContaminatedFolder(Contaminated, Folder):
    """`Folder` with defects of ``abnormal_dir`` in training; see `Contaminated` for what is added.

    Args:
        args: as `Folder`'s.
        kwargs: as `Contaminated`'s and `Folder`'s.

    Example:
        >>> data = ContaminatedFolder("cap", normal_dir="good", abnormal_dir="bad", contamination_ratio=0.1)
    """


class ContaminatedMVTecAD(Contaminated, MVTecAD):
    """`MVTecAD` with defects of ``test`` in training; see `Contaminated` for what is added.

    Give it a ``name`` of its own where it stands in one table with the plain data set, whose test set is larger.

    Args:
        args: as `MVTecAD`'s.
        kwargs: as `Contaminated`'s and `MVTecAD`'s.

    Example:
        >>> data = ContaminatedMVTecAD(root="~/data/mvtec", category="bottle", contamination_ratio=0.1)
    """


class ContaminatedElpv(Contaminated, Elpv):
    """`Elpv` with defective cells in training; see `Contaminated` for what is added.

    Of the ``n_test`` cells, those set aside are left out.

    Args:
        args: as `Elpv`'s.
        kwargs: as `Contaminated`'s and `Elpv`'s.

    Example:
        >>> data = ContaminatedElpv(n_train=200, n_test=200, contamination_ratio=0.1, repeats=5)
    """

    @property
    def name(self) -> str:
        """Another name than that of the plain cells, whose test set is larger."""
        return "elpv_contaminated"
