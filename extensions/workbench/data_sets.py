"""The data sets that a config names, of whichever command it is: each can be checked and drawn."""

from __future__ import annotations

import re
import statistics
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from anomalib.data.datamodules.base.image import AnomalibDataModule

PRETRAINING = "extensions.self_supervised"


@dataclass(frozen=True)
class CheckResult:
    """What was found, for a person, and in how many images."""

    text: str
    n_images: int


class DataSet(ABC):
    """One data set of a config."""

    @property
    @abstractmethod
    def file_name(self) -> str:
        """Its name as a part of a file's."""

    @abstractmethod
    def check(self) -> CheckResult:
        """Open every file; its counts.

        Raises:
            ValueError: All problems at once.
        """

    @abstractmethod
    def sheet(self, n: int) -> tuple[np.ndarray, int]:
        """Draw `n` images: (height, width, 3) uint8, and how many there are on it."""


def data_sets(
    document: dict[str, Any], path: Path, *, every_seed: bool, data_root: Path | None = None
) -> Iterator[DataSet]:
    """The data sets of a document: one entry or a benchmark's list.

    Args:
        document: Of training, a refinement, a benchmark, pretraining or a probe.
        path: Of its file.
        data_root: Where relative folders start; None for `$WORKBENCH_DATA`, else the working directory.
        every_seed: Whether each comes with every seed that the document asks for, and not with the first alone.

    Raises:
        ConfigError: There is none, or an entry is malformed.
    """
    from extensions.configuration import ConfigError
    from extensions.configuration.variants import data_entries

    data = document.get("data")
    if not data:
        msg = f"{path} has no `data:` section; found {', '.join(document) or 'nothing'}"
        raise ConfigError(msg)
    if "encoders" in document:
        yield Probed(document, path, data_root)
        return
    if isinstance(data, str):
        data = {"class_path": data}
    try:
        specs = data_entries(data if isinstance(data, list) else [data], path.parent)
        seeds = _seeds(document)
    except ConfigError as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from error
    for spec in specs:
        if str(spec["class_path"]).startswith(f"{PRETRAINING}."):
            yield Pretrained(spec, path, data_root)
        else:
            yield from (Detected(spec, seed, data_root) for seed in (seeds if every_seed else seeds[:1]))


def _seeds(document: dict[str, Any]) -> list[int | None]:
    """What draws splits in the runs of a document; None leaves it to the data set."""
    from extensions.configuration import ConfigError

    given = document.get("seeds", document.get("seed", document.get("seed_everything")))
    seeds: list[Any] = given if isinstance(given, list) and given else [given]
    for seed in seeds:
        if seed is not None and not isinstance(seed, int):
            msg = f"seeds: found {given!r}, expected whole numbers from 0 on such as [0, 1, 2]"
            raise ConfigError(msg)
    return [None if isinstance(seed, bool) else seed for seed in seeds]


@dataclass
class Detected(DataSet):
    """Images to find defects in: any datamodule of anomalib's or ours.

    Attributes:
        spec: Its entry in the config.
        seed: Of a run; None for none.
        data_root: Where relative roots start.
    """

    spec: dict[str, Any]
    seed: int | None = None
    data_root: Path | None = None
    _built: AnomalibDataModule | None = None

    @property
    def datamodule(self) -> AnomalibDataModule:
        """Built, not set up."""
        if self._built is None:
            from extensions.configuration import instantiate_data

            self._built = instantiate_data(self.spec, self.data_root)
        return self._built

    @property
    def file_name(self) -> str:
        """Its name, category and, if it takes part, seed."""
        return _safe("-".join(filter(None, (self.datamodule.name, self.datamodule.category))))

    def check(self) -> CheckResult:
        """See `DataSet.check`."""
        from extensions.data.checks.fingerprints import fingerprint
        from extensions.data.datamodules.stock import set_up

        datamodule = self.datamodule
        set_up(datamodule, seed=self.seed)
        found = fingerprint(datamodule)
        if not found.counts["n_train"]:
            msg = (
                f"data set {datamodule.name!r} has no training images; add some, or lower val_split_ratio where it "
                "takes them away (val_split_mode from_train, synthetic)"
            )
            raise ValueError(msg)
        lines = [f"data set {datamodule.name} {datamodule.category or ''}".rstrip()]
        for name, count in found.counts.items():
            shown = ", ".join(f"{kind} {n}" for kind, n in count.items()) if isinstance(count, dict) else count
            lines.append(f"  {name:17} {shown}")
        if contamination := getattr(datamodule, "contamination", None):
            kinds = ", ".join(f"{kind} {n}" for kind, n in contamination["kinds"].items()) or "no defects"
            lines.append(f"  {'injected':18}{kinds} ({contamination['ratio']:.1%} of training)")
        lines += _how_they_lie(datamodule)
        if drawn := getattr(datamodule, "k_shot_images", None):
            lines.append(f"  {'k_shot':18}{', '.join(drawn)}")
        if shares := _marked_shares(datamodule):
            median, most = statistics.median(shares), max(shares)
            lines.append(f"  {'marked by a mask':18}median {median:.2%} of an image, at most {most:.2%}")
        return CheckResult("\n".join([*lines, f"  {'sha256':18}{found.sha256}"]), len(found.files))

    def sheet(self, n: int) -> tuple[np.ndarray, int]:
        """See `DataSet.sheet`."""
        from extensions.data.contact_sheet import choose_samples, contact_sheet
        from extensions.data.datamodules.stock import set_up
        from extensions.data.imaging import imaging_of

        set_up(self.datamodule, seed=self.seed)
        samples = choose_samples(self.datamodule.test_data.samples, n)
        if samples.empty:
            msg = f"data set {self.datamodule.name!r} has no test images to show"
            raise ValueError(msg)
        return contact_sheet(samples, imaging_of(self.datamodule)), len(samples)


@dataclass
class Pretrained(DataSet):
    """Folders of images to learn from.

    Attributes:
        spec: Its entry in the config.
        path: Of the config.
        data_root: Where relative folders start.
    """

    spec: dict[str, Any]
    path: Path
    data_root: Path | None = None

    @property
    def file_name(self) -> str:
        """Of the first folder."""
        return _safe(str((self._folders or ["images"])[0]))

    @property
    def _folders(self) -> list[str]:
        return (self.spec.get("init_args") or {}).get("folders") or []

    def check(self) -> CheckResult:
        """See `DataSet.check`."""
        from extensions.data.checks.inspection import inspect_files
        from extensions.data.errors import Kind, Problem, dataset_error
        from extensions.self_supervised.images.image_list import find_images

        found = find_images(self._folders, self.data_root)
        facts = inspect_files(found.paths, title="checking images")
        names = dict(zip(map(str, found.paths), found.names, strict=True))
        broken = [Problem(Kind.UNREADABLE, names[path], fact.error) for path, fact in facts.items() if fact.error]
        if broken:
            raise dataset_error(", ".join(map(str, self._folders)), found.paths[0].parent, broken)
        counts = ", ".join(f"{name} {found.labels.count(place)}" for place, name in enumerate(found.classes))
        text = (
            f"images of {', '.join(map(str, self._folders))}\n  {'n_images':18}{len(found)}\n  {'classes':18}{counts}"
        )
        return CheckResult(text, len(found))

    def sheet(self, n: int) -> tuple[np.ndarray, int]:
        """Not drawn here: what is learned from are views of the images."""
        msg = (
            f"{self.path} is for pretraining; draw what it learns from with "
            f"`python -m {PRETRAINING} views --config {self.path}`"
        )
        raise ValueError(msg)


@dataclass
class Probed(DataSet):
    """Folders of classes that a probe tells apart.

    Attributes:
        document: Of the probe.
        path: Of its file.
        data_root: Where a relative root starts.
    """

    document: dict[str, Any]
    path: Path
    data_root: Path | None = None

    @property
    def file_name(self) -> str:
        """Of the config."""
        return _safe(self.path.stem)

    def check(self) -> CheckResult:
        """See `DataSet.check`."""
        from extensions.self_supervised.probe.probe_data import read_probe_data
        from extensions.self_supervised.probe.probe_settings import probe_settings

        data = read_probe_data(**probe_settings(self.document, self.path).data, data_root=self.data_root)
        counts = "\n".join(f"  {split:18}{len(images)}" for split, images in data.splits.items())
        text = (
            f"data set {data.name}\n{counts}\n  {'classes':18}{', '.join(data.classes)}\n  {'sha256':18}{data.sha256}"
        )
        return CheckResult(text, sum(map(len, data.splits.values())))

    def sheet(self, n: int) -> tuple[np.ndarray, int]:
        """Not drawn: there are no masks and no defects in it."""
        msg = f"{self.path} is a probe's; a sheet shows test images with their masks: give a config of a detector"
        raise ValueError(msg)


def _marked_shares(datamodule: AnomalibDataModule) -> list[float]:
    """Which share of its image each mask of an anomalous image marks."""
    from extensions.data.checks.data_check import all_samples
    from extensions.data.checks.inspection import inspect_files

    samples = all_samples(datamodule)
    paths = [path for path in samples["mask_path"][samples["label_index"] == 1] if path]
    return [fact.share for fact in inspect_files(paths, masks=True).values()]


def _how_they_lie(datamodule: AnomalibDataModule) -> list[str]:
    """How well the good images lie on each other, and which detectors that rules out."""
    from extensions.configuration.classes import import_class, known_classes, resolve_class_path
    from extensions.data.checks.position_check import position_check

    found = position_check(datamodule)
    if isinstance(found, str):
        return [f"  {'position':18}{found}"]
    lines = [f"  {'position':18}{found.sentence}"]
    unaligned = getattr(datamodule, "unaligned", [])
    if getattr(datamodule, "align", None):
        lines.append(f"  {'align':18}{len(unaligned)} images could not be aligned")
    if not found.is_aligned:
        known = known_classes("model")
        classes = {name: import_class(resolve_class_path(name, "model"), "model", known) for name in known}
        bound = sorted(name for name, kind in classes.items() if getattr(kind, "needs_alignment", False))
        word = "rules out" if found.lies_differently else "beware of"
        lines.append(f"  {word:18}{', '.join(bound)}, which compare each place with the same place of others")
    return lines


def _safe(name: str) -> str:
    """A name as a part of a file's."""
    return re.sub(r"[^\w.+=-]", "_", name)
