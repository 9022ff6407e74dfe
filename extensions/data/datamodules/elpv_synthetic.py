"""Good solar cells with drawn defects and exact masks."""

import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from extensions.data.datamodules.datamodule import WorkbenchDataModule
from extensions.data.datamodules.elpv import choose_cells, package_folder
from extensions.data.datamodules.listing import Listing
from extensions.data.datamodules.mvtec_ad import list_layout
from extensions.data.synthetic.drawn_images import drawn_defects, parameters_of, save_png
from extensions.runtime.built_folders import build_once
from extensions.runtime.cache_folder import cache_folder


class ElpvSynthetic(WorkbenchDataModule):
    """Held-out good cells of `Elpv`, half of them with drawn defects: the only packaged data set with masks.

    Synthetic: it says whether a detector finds what was drawn, not what breaks in the field. The training cells are
    those of `Elpv` with the same ``cells``, ``n_train`` and ``seed``. No test cell is both shown as good and drawn on;
    patches come from the cells drawn on, never from training. The images lie in the cache folder
    (``$WORKBENCH_CACHE``) in the layout of MVTec AD.

    Args:
        cells: mono- or polycrystalline.
        n_train: good cells to train on; None for 60 % of them.
        n_test: test cells, half of them with defects; None for all that are left.
        kwargs: see `WorkbenchDataModule`.

    Raises:
        DatasetMissingError: on ``setup`` when the package is not installed.
        ValueError: on ``setup`` when there are not so many cells.

    Example:
        >>> data = ElpvSynthetic(n_train=200, n_test=200)
    """

    synthetic = True

    def __init__(
        self,
        cells: Literal["mono", "poly"] = "mono",
        n_train: int | None = None,
        n_test: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name="elpv_synthetic", root=cache_folder() / "elpv_synthetic", category=cells, **kwargs)
        self.n_train = n_train
        self.n_test = n_test

    def _list(self) -> Listing:
        chosen = choose_cells(package_folder(), self.category, n_train=self.n_train, n_test=None, seed=self.seed)
        n_test = len(chosen.good) if self.n_test is None else self.n_test
        if not 2 <= n_test <= len(chosen.good):
            msg = f"n_test is {n_test}; expected 2 to {len(chosen.good)}, the good {self.category} cells not trained on"
            raise ValueError(msg)
        order = np.random.default_rng([self.seed, 1]).permutation(len(chosen.good))[:n_test]
        bases = [chosen.good[index] for index in order[: n_test // 2]]
        good = [chosen.good[index] for index in order[n_test // 2 :]]
        parameters = {
            "bases": parameters_of(bases, self.seed),
            "good": parameters_of(good, self.seed)["images"],
            "train": parameters_of(chosen.train, self.seed)["images"],
        }
        self._root = build_once(
            "elpv_synthetic",
            parameters,
            lambda folder: _write_layout(folder, train=chosen.train, good=good, bases=bases, seed=self.seed),
        )
        return list_layout(self._root, root=self._root)


def _write_layout(folder: Path, *, train: list[Path], good: list[Path], bases: list[Path], seed: int) -> None:
    for part, images in (("train/good", train), ("test/good", good)):
        (folder / part).mkdir(parents=True)
        for image in images:
            shutil.copyfile(image, folder / part / image.name)
    for base, defect in drawn_defects(bases, seed=seed):
        for part in ("test", "ground_truth"):
            (folder / part / defect.kind).mkdir(parents=True, exist_ok=True)
        save_png(folder / "test" / defect.kind / base.name, defect.image)
        mask = Image.fromarray(defect.mask.astype(np.uint8) * 255)
        mask.save(folder / "ground_truth" / defect.kind / f"{base.stem}_mask.png")
