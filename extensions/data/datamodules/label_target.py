"""What of a data set labels are drawn for: images and the folder of masks, before there are masks."""

from __future__ import annotations

import os
from pathlib import Path

from anomalib.data.datamodules.base.image import AnomalibDataModule

from extensions.data.datamodules.folder import Folder
from extensions.data.datamodules.mvtec_ad import MVTecAD
from extensions.data.labels.mask_target import MaskTarget
from extensions.data.reading.files import list_images


def label_target(datamodule: AnomalibDataModule) -> MaskTarget:
    """The images of a data set as it lists them.

    Args:
        datamodule: Built without a ``mask_dir``, which is not there yet; not set up.

    Raises:
        ValueError: Its class reads no masks of a user's, it holds several categories, or no anomalous images.
        DatasetMissingError: A folder of images is not there.
    """
    if not isinstance(datamodule, Folder | MVTecAD):
        kind = f"{type(datamodule).__module__.split('.')[0]}.{type(datamodule).__name__}"
        msg = (
            f"data set {datamodule.name!r} is of class {kind}; labels are converted for extensions.Folder and "
            "extensions.MVTecAD: give the config of one of these"
        )
        raise ValueError(msg)
    if isinstance(datamodule, MVTecAD) and datamodule.product_names:
        msg = (
            f"data set {datamodule.name!r} has {len(datamodule.product_names)} categories; labels are converted for "
            f"one: add --set data.init_args.category={datamodule.product_names[0]}"
        )
        raise ValueError(msg)
    rows = datamodule._list().rows
    images: dict[int, list[Path]] = {0: [], 1: []}
    for path, _, label, *_ in rows:
        images[label].append(Path(path))
    if not images[1]:
        msg = (
            f"data set {datamodule.name!r} has no anomalous images to draw masks for; name their folder in abnormal_dir"
        )
        raise ValueError(msg)
    if isinstance(datamodule, MVTecAD):
        top = datamodule.folder / "test"
    else:
        top = Path(os.path.commonpath(datamodule.abnormal_dirs))
    others = [folder for folder in (datamodule._calibration_folder, datamodule._known_folder) if folder]
    return MaskTarget(
        datamodule.name,
        datamodule.root,
        top,
        images[1],
        images[0],
        [path for folder in others if folder.is_dir() for path in list_images(folder)],
    )


def mask_folder(datamodule: AnomalibDataModule) -> Path | None:
    """Where a data set looks for masks: one folder that holds nothing else; None where it does not say."""
    if isinstance(datamodule, MVTecAD):
        return datamodule.folder / "ground_truth"
    if isinstance(datamodule, Folder) and len(datamodule._own_mask_dirs) == 1:
        return datamodule._own_mask_dirs[0]
    return None


def mask_dirs(datamodule: Folder, masks: Path, names: list[str]) -> list[str]:
    """What ``mask_dir`` should say: a folder for each of ``abnormal_dir`` that has masks, relative to its root.

    Args:
        datamodule: The data set.
        masks: The folder of masks.
        names: Of the masks in it.
    """
    top = Path(os.path.commonpath(datamodule.abnormal_dirs))
    below = [folder.relative_to(top) for folder in datamodule.abnormal_dirs]
    folders = [masks / place for place in below if any(Path(name).is_relative_to(place) for name in names)]
    base = datamodule._folder_of_relative
    return [str(folder.relative_to(base) if folder.is_relative_to(base) else folder) for folder in folders]
