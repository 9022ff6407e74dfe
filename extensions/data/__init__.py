"""Data sets read and checked in one place; everything is imported when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from extensions.data.checks.data_check import check_dataset as check_dataset
    from extensions.data.checks.fingerprints import Fingerprint as Fingerprint
    from extensions.data.checks.fingerprints import fingerprint as fingerprint
    from extensions.data.datamodules.contamination import ContaminatedElpv as ContaminatedElpv
    from extensions.data.datamodules.contamination import ContaminatedFolder as ContaminatedFolder
    from extensions.data.datamodules.contamination import ContaminatedMVTecAD as ContaminatedMVTecAD
    from extensions.data.datamodules.elpv import Elpv as Elpv
    from extensions.data.datamodules.elpv_synthetic import ElpvSynthetic as ElpvSynthetic
    from extensions.data.datamodules.folder import Folder as Folder
    from extensions.data.datamodules.mvtec_ad import MVTEC_AD_CATEGORIES as MVTEC_AD_CATEGORIES
    from extensions.data.datamodules.mvtec_ad import MVTecAD as MVTecAD
    from extensions.data.errors import DatasetError as DatasetError
    from extensions.data.errors import DatasetMissingError as DatasetMissingError
    from extensions.data.reading.image_files import read_image as read_image
    from extensions.data.reading.image_files import read_mask as read_mask

_MODULES = {
    "ContaminatedElpv": "datamodules.contamination",
    "ContaminatedFolder": "datamodules.contamination",
    "ContaminatedMVTecAD": "datamodules.contamination",
    "DatasetError": "errors",
    "DatasetMissingError": "errors",
    "Elpv": "datamodules.elpv",
    "ElpvSynthetic": "datamodules.elpv_synthetic",
    "Fingerprint": "checks.fingerprints",
    "Folder": "datamodules.folder",
    "MVTEC_AD_CATEGORIES": "datamodules.mvtec_ad",
    "MVTecAD": "datamodules.mvtec_ad",
    "check_dataset": "checks.data_check",
    "fingerprint": "checks.fingerprints",
    "read_image": "reading.image_files",
    "read_mask": "reading.image_files",
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
