"""What the names of folders say about the images in them."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

_MASK_NAMES = {"mask", "masks", "groundtruth", "groundtruths", "gt", "gts"}
_MASK_WORDS = {"label", "labels", "annotation", "annotations", "seg", "segmentation", "segmentations"}
_GOOD_NAMES = {
    "good",
    "goods",
    "ok",
    "okay",
    "normal",
    "defectfree",
    "nodefect",
    "nodefects",
    "anomalyfree",
    "nonanomalous",
}
_BAD_NAMES = {
    "bad",
    "ng",
    "nok",
    "notok",
    "notgood",
    "nogood",
    "defect",
    "defects",
    "defective",
    "anomaly",
    "anomalies",
}
_BAD_NAMES |= {"anomalous", "abnormal", "faulty", "damaged", "reject", "rejects", "rejected"}
_MIS_SPELLED = 0.85  # similarity of "god" and "good" is 0.86, of "wood" and "good" 0.75


def is_mask_folder(name: str) -> bool:
    """Whether masks lie in a folder of this name: ``masks``, ``ground_truth``, ``GT`` and the like."""
    return _plain(name) in _MASK_NAMES


def may_be_mask_folder(name: str) -> bool:
    """Whether masks may lie in a folder of this name: ``labels``, ``scratch_masks``; or images of a kind of defect."""
    return _plain(name) in _MASK_WORDS or _plain(name).endswith(("mask", "masks", "groundtruth", "label", "labels"))


def is_good_folder(name: str) -> bool:
    """Whether images without defects lie in a folder of this name: ``good``, ``Good``, ``ok``, ``goood``."""
    plain = _plain(name)
    return plain in _GOOD_NAMES or _is_nearly(plain, "good")


def is_bad_folder(name: str) -> bool:
    """Whether images with defects lie in a folder of this name: ``bad``, ``NG``, ``defects``."""
    return _plain(name) in _BAD_NAMES


def is_no_training_folder(name: str) -> bool:
    """Whether images that are not to train lie in a folder of this name: ``bad``, ``test``."""
    return is_bad_folder(name) or _plain(name) == "test"


def nearly_named(folder: Path, name: str) -> Path | None:
    """A folder within ``folder`` whose name is nearly ``name``: but for upper case, blanks, hyphens, a letter."""
    others = sorted(path for path in _folders(folder) if path.name != name)
    alike = [path for path in others if _plain(path.name) == _plain(name)]
    alike += [path for path in others if _is_nearly(_plain(path.name), _plain(name))]
    return alike[0] if alike else None


def _folders(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        return ()
    return (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_nearly(plain: str, name: str) -> bool:
    return difflib.SequenceMatcher(None, plain, name).ratio() >= _MIS_SPELLED


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())
