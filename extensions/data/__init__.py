"""Data sets read and checked in one place; everything is imported when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from extensions.data.checks import check_dataset as check_dataset
    from extensions.data.contamination import ContaminatedElpv as ContaminatedElpv
    from extensions.data.contamination import ContaminatedFolder as ContaminatedFolder
    from extensions.data.contamination import ContaminatedMVTecAD as ContaminatedMVTecAD
    from extensions.data.elpv import Elpv as Elpv
    from extensions.data.elpv_synthetic import ElpvSynthetic as ElpvSynthetic
    from extensions.data.errors import DatasetError as DatasetError
    from extensions.data.errors import DatasetMissingError as DatasetMissingError
    from extensions.data.fingerprints import Fingerprint as Fingerprint
    from extensions.data.fingerprints import fingerprint as fingerprint
    from extensions.data.folder import Folder as Folder
    from extensions.data.mvtec_ad import MVTEC_AD_CATEGORIES as MVTEC_AD_CATEGORIES
    from extensions.data.mvtec_ad import MVTecAD as MVTecAD
    from extensions.data.reading import read_image as read_image
    from extensions.data.reading import read_mask as read_mask

_MODULES = {
    "ContaminatedElpv": "contamination",
    "ContaminatedFolder": "contamination",
    "ContaminatedMVTecAD": "contamination",
    "DatasetError": "errors",
    "DatasetMissingError": "errors",
    "Elpv": "elpv",
    "ElpvSynthetic": "elpv_synthetic",
    "Fingerprint": "fingerprints",
    "Folder": "folder",
    "MVTEC_AD_CATEGORIES": "mvtec_ad",
    "MVTecAD": "mvtec_ad",
    "check_dataset": "checks",
    "fingerprint": "fingerprints",
    "read_image": "reading",
    "read_mask": "reading",
}

__all__ = [
    "MVTEC_AD_CATEGORIES",
    "ContaminatedElpv",
    "ContaminatedFolder",
    "ContaminatedMVTecAD",
    "DatasetError",
    "DatasetMissingError",
    "Elpv",
    "ElpvSynthetic",
    "Fingerprint",
    "Folder",
    "MVTecAD",
    "check_dataset",
    "fingerprint",
    "read_image",
    "read_mask",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        msg = f"module 'extensions.data' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"extensions.data.{_MODULES[name]}"), name)
