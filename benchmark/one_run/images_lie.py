"""How the images of a run lie: whether they were aligned, and whether the detector needed that."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule
    from anomalib.models import AnomalibModule

N_TIMED = 5  # images


def how_images_lie(model: AnomalibModule, datamodule: AnomalibDataModule) -> dict[str, Any]:
    """Fields of a record's data set, see `benchmark.records.record_sections.Dataset`; what is to be said is logged."""
    from extensions.data.checks.position_check import needs_alignment, position_check, position_warning
    from extensions.data.errors import warn_once
    from extensions.data.imaging import imaging_of

    found: dict[str, Any] = {}
    if imaging_of(datamodule).alignment is not None:
        found |= {"aligned": True, "n_unaligned": len(datamodule.unaligned), "alignment_ms": _timed(datamodule)}
    if not needs_alignment(model):
        return found
    position = position_check(datamodule)
    if isinstance(position, str):
        return found
    found |= {"position_score": position.score, "position_registered": position.registered}
    if remark := position_warning(model, position):
        warn_once(f"data set {datamodule.name!r}: {remark}")
        found["position_remark"] = remark
    return found


def _timed(datamodule: Any) -> float:
    """ms: the median of a few test images."""
    import numpy as np

    from extensions.data.reading.pixels import read_pixels
    from extensions.data.straightening import aligned, lie_in, turned_back

    imaging, times = datamodule.imaging, []
    for path in datamodule.test_data.samples["image_path"][:N_TIMED]:
        pixels = read_pixels(path, imaging)
        started = time.perf_counter()
        lie = lie_in(pixels, imaging)
        aligned(pixels, imaging, lie)
        turned_back(np.zeros(imaging.alignment.template.shape, np.float32), imaging, lie)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)
