"""The images of the speed table: copies in one layout that both sides read, as they are or enlarged."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import pandas as pd
from PIL import Image

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule

    from extensions.data.datamodules.datamodule import WorkbenchDataModule

BATCH_SIZE = 32
N_PACKAGED = (209, 83)  # images to train and test on, as many as MVTec AD's bottle has


@dataclass(frozen=True)
class SpeedImages:
    """A folder in MVTec AD's layout.

    Args:
        folder: Holds train, test and ground_truth.
        description: For people.
        train: Training images.
        test: Test images.
    """

    folder: Path
    description: str
    train: tuple[Path, ...]
    test: tuple[Path, ...]

    def spec(self, n_workers: int) -> dict[str, Any]:
        """The data set in a configuration of ours."""
        arguments = {"root": str(self.folder.parent), "category": self.folder.name, "num_workers": n_workers}
        return {"class_path": "extensions.MVTecAD", "init_args": arguments}

    def datamodule(self, n_workers: int) -> WorkbenchDataModule:
        """The data set, read by our datamodule."""
        from extensions import MVTecAD

        return MVTecAD(self.folder.parent, self.folder.name, num_workers=n_workers)

    def stock_datamodule(self, n_workers: int) -> AnomalibDataModule:
        """The data set, read by anomalib's datamodule in batches of the same size."""
        from anomalib.data import MVTecAD

        return MVTecAD(
            self.folder.parent,
            self.folder.name,
            train_batch_size=BATCH_SIZE,
            eval_batch_size=BATCH_SIZE,
            num_workers=n_workers,
        )


def packaged_source() -> WorkbenchDataModule:
    """Images that come from the package index: solar cells, some with drawn defects, so that there are masks."""
    from extensions import ElpvSynthetic

    return ElpvSynthetic(n_train=N_PACKAGED[0], n_test=N_PACKAGED[1])


def bottle_source(data_root: Path) -> WorkbenchDataModule:
    """MVTec AD's bottle below a data root.

    Raises:
        FileNotFoundError: It is not there.
    """
    from extensions import MVTecAD

    folder = data_root / "mvtec" / "bottle"
    if not folder.is_dir():
        msg = f"{folder} is not a folder; expected MVTec AD's bottle there: give another --data-root, or none"
        raise FileNotFoundError(msg)
    return MVTecAD(data_root / "mvtec", "bottle")


def copy_images(
    source: WorkbenchDataModule,
    folder: Path,
    *,
    n_train: int | None = None,
    n_test: int | None = None,
    side: int | None = None,
) -> SpeedImages:
    """Lay images of a data set out like MVTec AD.

    Args:
        source: The data set.
        folder: Where to; must not exist.
        n_train: Training images, the first ones; None for all.
        n_test: Test images, good and bad ones in turns; None for all.
        side: Height and width in px that images and masks are enlarged to, saved as PNG; None copies the files.
    """
    source.setup()
    train = source.train_data.samples.sort_values("image_path").head(n_train or len(source.train_data.samples))
    test = _in_turns(source.test_data.samples)[: n_test or None]
    jobs: list[tuple[Path, Path, bool]] = []
    placed: dict[str, list[Path]] = {"train": [], "test": []}
    for split, row in [("train", row) for row in train.to_dict("records")] + [("test", row) for row in test]:
        kind = "bad" if row["label_index"] else "good"
        image = Path(row["image_path"])
        name = f"{len(placed[split]):03}"
        target = folder / split / kind / f"{name}{'.png' if side else image.suffix}"
        placed[split].append(target)
        jobs.append((image, target, False))
        if row.get("mask_path") and row["label_index"]:
            mask = Path(row["mask_path"])
            there = folder / "ground_truth" / kind / f"{name}_mask{'.png' if side else mask.suffix}"
            jobs.append((mask, there, True))
    for parent in {target.parent for _, target, _ in jobs}:
        parent.mkdir(parents=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda job: _place(*job, side=side), jobs))
    with Image.open(placed["train"][0]) as first:
        width, height = first.size
    what = f"{source.name} {source.category}".strip() + (", enlarged" if side else "")
    description = f"{what}: {len(placed['train'])} + {len(placed['test'])} images of {width} x {height} px"
    return SpeedImages(folder, description, tuple(placed["train"]), tuple(placed["test"]))


def _in_turns(samples: pd.DataFrame) -> list[dict[Any, Any]]:
    """Good and bad ones in turns, so that every beginning holds both."""
    ordered = samples.sort_values("image_path")
    turn = ordered.groupby("label_index").cumcount()
    return ordered.assign(turn=turn).sort_values(["turn", "label_index"]).to_dict("records")


def _place(source: Path, target: Path, is_mask: bool, *, side: int | None) -> None:
    if side is None:
        shutil.copyfile(source, target)
        return
    pixels = cv2.imread(str(source), cv2.IMREAD_GRAYSCALE if is_mask else cv2.IMREAD_COLOR)
    cv2.imwrite(
        str(target), cv2.resize(pixels, (side, side), interpolation=cv2.INTER_NEAREST if is_mask else cv2.INTER_CUBIC)
    )
