"""What a run's data were, in one hash that moves with every byte, label and split."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from extensions.data.checks.data_check import all_samples, bad_names, root_of
from extensions.data.checks.inspection import inspect_files
from extensions.data.errors import dataset_error
from extensions.data.groups import GROUP
from extensions.data.imaging import imaging_of
from extensions.data.reading.files import relative_name

if TYPE_CHECKING:
    from anomalib.data.datamodules.base.image import AnomalibDataModule


@dataclass(frozen=True)
class Fingerprint:
    """The content of a data set as split for a run.

    Attributes:
        sha256: over the sorted rows (split, image, sha256, label, mask sha256, and the group where parts are named),
            and the region of interest where one is set; not over absolute paths.
        files: columns split (train, test, val, calibration), image (relative to the root), sha256, label (0, 1), mask
            (the mask's sha256, "" without one), kind ("good" or the kind of defect), and group where parts are named.
        counts: n_train, n_test_normal, n_test_anomalous, n_masks, defect_kinds (test images of each kind);
            known_kinds (likewise, of defects that are trained on as such) and calibration_kinds where there are any;
            n_train_groups, n_test_groups_normal and n_test_groups_anomalous where parts are named.
    """

    sha256: str
    files: pd.DataFrame
    counts: dict[str, int | dict[str, int]]

    @property
    def training_sha256(self) -> str:
        """Over the rows that are not tested on; validation images that are test images are not among them."""
        return _sha256(self.files[self.files["split"].isin(["train", "val"])])


def fingerprint(datamodule: AnomalibDataModule) -> Fingerprint:
    """Fingerprint any anomalib datamodule; sets it up when that has not been done.

    The images of a validation set that is the test set are not listed twice.
    """
    if not hasattr(datamodule, "train_data"):
        datamodule.setup()
    samples = all_samples(datamodule)
    name_of = image_names(datamodule)
    channels = getattr(getattr(datamodule, "imaging", None), "channels", None)
    parts = {
        path: [path] if channels is None else list(map(str, channels.files_of(path))) for path in samples["image_path"]
    }
    images = inspect_files([file for files in parts.values() for file in files], title=f"reading {datamodule.name}")
    masks = inspect_files([path for path in samples["mask_path"] if path], masks=True)
    files = pd.DataFrame(
        {
            "split": samples["split"],
            "image": [name_of(path) for path in samples["image_path"]],
            "sha256": [_joint(images[file].sha256 for file in parts[path]) for path in samples["image_path"]],
            "label": samples["label_index"].astype(int),
            "mask": [masks[path].sha256 if path else "" for path in samples["mask_path"]],
            "kind": _kinds(samples),
            **({GROUP: samples[GROUP].fillna("")} if GROUP in samples else {}),
        }
    ).sort_values(["split", "image"], ignore_index=True)
    if problems := bad_names(samples["image_path"], root=root_of(datamodule, samples)):
        raise dataset_error(datamodule.name, root_of(datamodule, samples), problems)
    region = imaging_of(datamodule).region
    return Fingerprint(_sha256(files, region.sha256 if region else ""), files, _counts(files))


def _joint(hashes: Iterable[str]) -> str:
    """The hash of an image's file; of several files one over theirs."""
    several = list(hashes)
    return several[0] if len(several) == 1 else hashlib.sha256("\n".join(several).encode()).hexdigest()


def _sha256(files: pd.DataFrame, region: str = "") -> str:
    columns = [*("split", "image", "sha256", "label", "mask"), *([GROUP] if GROUP in files else [])]
    rows = [*files[columns].to_numpy().tolist(), *([[region]] if region else [])]
    return hashlib.sha256(json.dumps(sorted(rows), ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def image_names(datamodule: AnomalibDataModule) -> Callable[[str], str]:
    """From an image's path to its name in records: relative to the root of any anomalib datamodule that is set up."""
    named = getattr(datamodule, "relative", None)
    if named is None:
        root = root_of(datamodule, all_samples(datamodule))
        return lambda path: relative_name(path, root)
    return named


def _kinds(samples: pd.DataFrame) -> list[str]:
    if "kind" in samples:
        return samples["kind"].tolist()
    labels = samples["label_index"]
    return [
        Path(path).parent.name if label else "good" for path, label in zip(samples["image_path"], labels, strict=True)
    ]


def _counts(files: pd.DataFrame) -> dict[str, int | dict[str, int]]:
    test = files[files["split"] == "test"]
    anomalous = test[test["label"] == 1]
    calibration = Counter(files.loc[files["split"] == "calibration", "kind"].tolist())
    counts: dict[str, int | dict[str, int]] = {
        "n_train": int((files["split"] == "train").sum()),
        "n_test_normal": int((test["label"] == 0).sum()),
        "n_test_anomalous": len(anomalous),
        "n_masks": int((anomalous["mask"] != "").sum()),
        "defect_kinds": dict(sorted(Counter(anomalous["kind"].tolist()).items())),
    }
    # What is injected into the training images passes for normal.
    known = files[(files["split"] == "train") & (files["label"] == 1)]
    if len(known):
        counts["known_kinds"] = dict(sorted(Counter(known["kind"].tolist()).items()))
    if GROUP in files:
        bad = set(anomalous[GROUP])
        counts["n_train_groups"] = int(files.loc[files["split"] == "train", GROUP].nunique())
        counts["n_test_groups_normal"] = len(set(test[GROUP]) - bad)
        counts["n_test_groups_anomalous"] = len(bad)
    if calibration:
        counts["calibration_kinds"] = dict(sorted(calibration.items()))
    return counts
