"""What a run keeps so that ensembles can be judged without another fit: the scale of its detector and its test maps."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.one_run.options import RunOptions
from benchmark.one_run.preparation import Prepared
from benchmark.plan.experiment import Experiment
from benchmark.records.run_files import write_text
from extensions.runtime.disk import room_for

if TYPE_CHECKING:
    from extensions.models.ensemble.scale import Scale

logger = logging.getLogger(__name__)

MAPS = "maps.npz"
"""Beside a record until its ensembles were judged: 2 bytes a pixel of each test image, and a bit for its mask."""


@dataclass(frozen=True)
class KeptMaps:
    """Standardized maps of the test images of a run.

    Attributes:
        images: (N,) names of the images, as in `scores.csv`.
        maps: (N, H, W) float16, in deviations from the pixels of held-out good images; None without maps.
        masks: (N, H, W) bool, true where anomalous; None where the data set has none.
    """

    images: list[str]
    maps: np.ndarray | None
    masks: np.ndarray | None

    def write(self, path: Path) -> None:
        """Write them whole or not at all.

        Raises:
            DiskFullError: There is no room.
        """
        found = {"images": np.array(self.images, dtype=str)}
        if self.maps is not None:
            found["maps"] = self.maps
        if self.masks is not None:
            found |= {"masks": np.packbits(self.masks), "mask_shape": np.array(self.masks.shape)}
        with room_for(path, sum(one.nbytes for one in found.values())), path.open("wb") as file:
            np.savez(file, allow_pickle=False, **found)

    @classmethod
    def read(cls, path: Path) -> KeptMaps:
        """What `write` wrote.

        Raises:
            ValueError: The file cannot be read, or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                masks = None
                if "masks" in found:
                    shape = tuple(int(side) for side in found["mask_shape"])
                    masks = np.unpackbits(found["masks"], count=int(np.prod(shape))).reshape(shape).astype(bool)
                maps = found.get("maps")
                return cls([str(name) for name in found["images"]], maps, masks)
        except Exception as error:
            msg = (
                f"{path}: these are no maps of a run ({' '.join(str(error).split())[:120]}); remove the file and run "
                "the sweep again"
            )
            raise ValueError(msg) from error


def lacks_maps_for(folder: Path, experiment: Experiment, options: RunOptions) -> bool:
    """Whether a finished run has to be run again for the ensembles that are asked for."""
    return experiment.experiment_id in options.maps_of and not (folder / MAPS).is_file()


class MapCollector:
    """Test maps as they come, on the scale of the detector.

    Args:
        scale: Of the detector.
    """

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self._maps: dict[int, np.ndarray] = {}
        self._masks: dict[int, np.ndarray] = {}

    def take(self, rows: list[int], maps: np.ndarray, masks: np.ndarray | None) -> None:
        """Maps (n, H, W) raw and masks (n, H, W) of the images at these places of the test set."""
        location, scale = self.scale.map_location, self.scale.map_scale
        if location is None or scale is None:
            return
        standardized = ((maps - np.float32(location)) / np.float32(scale)).astype(np.float16)
        self._maps |= dict(zip(rows, standardized, strict=True))
        if masks is not None:
            self._masks |= dict(zip(rows, np.packbits(masks, axis=-1), strict=True))

    def kept(self, images: list[str]) -> KeptMaps:
        """Of all test images, in their order.

        Raises:
            ValueError: A map value is too large for 16 bits, or infinite.
        """
        if not self._maps:
            return KeptMaps(images, None, None)
        maps = np.stack([self._maps[row] for row in range(len(images))])
        if not np.isfinite(maps).all():
            msg = "a map lies more than 65504 deviations from those of held-out good images"
            raise ValueError(msg)
        masks = None
        if self._masks:
            packed = np.stack([self._masks[row] for row in range(len(images))])
            masks = np.unpackbits(packed, axis=-1, count=maps.shape[-1]).astype(bool)
        return KeptMaps(images, maps, masks)


def map_collector(prepared: Prepared, options: RunOptions) -> MapCollector | None:
    """Measures the scale of a run's detector where that is asked for; None where it is not, or there is none.

    The run itself does not depend on it: where there is no scale it takes part in no ensemble, which is told.
    """
    from benchmark.one_run.training import device_of
    from extensions.cache import open_cache
    from extensions.data.imaging import imaging_of
    from extensions.models.ensemble.fitting import FitSettings, measure_scale
    from extensions.models.ensemble.members import Member

    experiment = prepared.resolved
    if prepared.experiment.experiment_id not in options.maps_of:
        return None
    assert prepared.datamodule is not None
    imaging = imaging_of(prepared.datamodule)
    try:
        if imaging.region is not None or imaging.tiling is not None:
            msg = "an Ensemble takes no region of interest and no tiles, which the data set sets"
            raise ValueError(msg)
        trainer = {name: value for name, value in experiment.trainer.items() if name != "logger"}
        member = Member(experiment.model["class_path"], experiment.model.get("init_args") or {}, trainer)
        accelerator = "cpu" if device_of(experiment.trainer) == "cpu" else "gpu"
        settings = FitSettings(seed=experiment.seed, accelerator=accelerator, cache=open_cache())
        return MapCollector(measure_scale(member, prepared.datamodule, settings))
    except ValueError as error:
        told = " ".join(filter(None, (experiment.model_name, experiment.backbone)))
        logger.warning("%s on %s takes part in no ensemble: %s", told, prepared.dataset, error)
        return None


def keep_maps(collector: MapCollector | None, images: list[str], workspace: Path) -> None:
    """Write scale and maps beside the record."""
    from extensions.models.ensemble.scale import HELD_OUT

    if collector is None:
        return
    try:
        collector.kept(images).write(workspace / MAPS)
    except ValueError as error:
        logger.warning("a run takes part in no ensemble: %s", error)
        return
    write_text(workspace / HELD_OUT, collector.scale.to_json())
