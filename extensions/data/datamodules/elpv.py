"""Electroluminescence images of solar cells, from a package of the package index."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from extensions.data.datamodules.datamodule import WorkbenchDataModule
from extensions.data.datamodules.listing import Listing
from extensions.data.errors import DatasetMissingError

_TRAINING_PART = 0.6


class Elpv(WorkbenchDataModule):
    """ELPV: good against defective solar cells, real images without masks, 300 x 300 px, grey.

    Buerhop-Lutz et al. (2018): A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence
    Imagery; https://github.com/zae-bayern/elpv-dataset; images CC BY-NC-SA 4.0. Good is a defect probability of 0,
    defective of 1; what the experts were unsure of is left out. The split is ours: the data set has none.

    Args:
        cells: mono- (588 good, 313 defective) or polycrystalline (920 good, 402 defective).
        n_train: good cells to train on; None for 60 % of them.
        n_test: test cells, half of them defective as far as there are enough; None for all that are left.
        kwargs: see `WorkbenchDataModule`.

    Raises:
        DatasetMissingError: on ``setup`` when the package is not installed.
        ValueError: on ``setup`` when there are not so many cells.

    Example:
        >>> data = Elpv(cells="mono", n_train=200, n_test=200)
    """

    def __init__(
        self,
        cells: Literal["mono", "poly"] = "mono",
        n_train: int | None = None,
        n_test: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name="elpv", root=Path(), category=cells, **kwargs)
        self.n_train = n_train
        self.n_test = n_test

    @property
    def root(self) -> Path:
        """The data folder of the installed package."""
        return package_folder()

    def _list(self) -> Listing:
        chosen = choose_cells(self.root, self.category, n_train=self.n_train, n_test=self.n_test, seed=self.seed)
        listing = Listing()
        listing.add(chosen.train, label=0, kind="good", split="train")
        listing.add(chosen.good, label=0, kind="good", split="test")
        listing.add(chosen.defective, label=1, kind="defective", split="test")
        return listing


@dataclass(frozen=True)
class Cells:
    """Images for training, and good and defective ones for testing; no image stands in two of the lists."""

    train: list[Path]
    good: list[Path]
    defective: list[Path]


def choose_cells(folder: Path, cells: str, *, n_train: int | None, n_test: int | None, seed: int) -> Cells:
    """Draw training and test cells; equal ``n_train`` and ``seed`` give the same training cells whatever is tested."""
    good, defective = _table(folder, cells)
    rng = np.random.default_rng(seed)
    good = [good[index] for index in rng.permutation(len(good))]
    defective = [defective[index] for index in rng.permutation(len(defective))]
    n_train = int(_TRAINING_PART * len(good)) if n_train is None else n_train
    if not 0 < n_train <= len(good):
        msg = f"n_train is {n_train}; expected 1 to {len(good)}, the good {cells} cells there are"
        raise ValueError(msg)
    train, held_out = good[:n_train], good[n_train:]
    if n_test is not None:
        available = len(held_out) + len(defective)
        if not 0 < n_test <= available:
            msg = f"n_test is {n_test}; expected 1 to {available}, the {cells} cells left after {n_train} for training"
            raise ValueError(msg)
        n_defective = min(max(n_test // 2, n_test - len(held_out)), len(defective))
        held_out, defective = held_out[: n_test - n_defective], defective[:n_defective]
    return Cells(sorted(train), sorted(held_out), sorted(defective))


def package_folder() -> Path:
    """The data folder of the installed ``elpv-dataset`` package, found without importing it."""
    spec = importlib.util.find_spec("elpv_dataset")
    for location in (spec and spec.submodule_search_locations) or []:
        folder = Path(location) / "data"
        if (folder / "labels.csv").is_file():
            return folder
    msg = 'the packaged solar cells are not installed; run: pip install "anomaly-workbench[demo]"'
    raise DatasetMissingError(msg)


def _table(folder: Path, cells: str) -> tuple[list[Path], list[Path]]:
    """The images of this type that are surely good and surely defective."""
    good: list[Path] = []
    defective: list[Path] = []
    for line in (folder / "labels.csv").read_text(encoding="utf-8").splitlines():
        image, probability, kind = line.split()
        if kind == cells and float(probability) in {0.0, 1.0}:
            (defective if float(probability) else good).append(folder / image)
    return sorted(good), sorted(defective)
