"""The images that show what a run decides: missed defects, false alarms and typical ones, drawn after the test."""

from __future__ import annotations

import hashlib
import heapq
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmark.records.record_sections import FALSE_ALARM, MISSED, TYPICAL_DEFECTIVE, TYPICAL_GOOD, Panel
from extensions.runtime.heat_map import hatched, heat_map

if TYPE_CHECKING:
    import pandas as pd

    from extensions.data.imaging import Imaging

SIDE = 256  # px, the longer side of each part of a panel
GAP = 4  # px between two parts
CANDIDATES = 32  # images of a class of which those nearest its median are taken


@dataclass(frozen=True)
class Kept:
    """A test image that may be drawn.

    Attributes:
        path: Of the image.
        image: Its name in records.
        label: 0 good, 1 defective.
        score: Raw, higher is more anomalous.
        heat: (h, w) float16 raw map, higher is more anomalous, at most `SIDE` px; None where the model gives none.
        mask: (h, w) bool, at most `SIDE` px; None where there is none.
        outside: (h, w) bool, what lies outside of a region of interest, at most `SIDE` px; None where there is none.
    """

    path: Path
    image: str
    label: int
    score: float
    heat: np.ndarray | None
    mask: np.ndarray | None
    outside: np.ndarray | None = None


class ImageKeeper:
    """Keeps, in bounded memory, the test images that are worth seeing.

    Of each class there are the most wrongly scored ones, and a sample of `CANDIDATES` in which the typical ones are
    found when the median is known. The sample is drawn by a hash of the images' names, so it does not depend on
    batches or order. Memory: at most ``2 * (n + CANDIDATES)`` maps of `SIDE` x `SIDE` px, 200 kB each with its mask.

    Args:
        n: How many images of each kind to keep; 0 keeps nothing.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._wrong: tuple[_Best, _Best] = (_Best(n), _Best(n))
        self._sample: tuple[_Best, _Best] = (_Best(CANDIDATES), _Best(CANDIDATES))

    def offer(
        self, rows: pd.DataFrame, maps: np.ndarray | None, masks: np.ndarray | None, inside: np.ndarray | None = None
    ) -> None:
        """Consider a batch: rows with path, image, label, score; `(N, H, W)` raw maps, masks and what is looked at."""
        if not self.n:
            return
        for i, (path, image, label, score) in enumerate(
            zip(rows["path"], rows["image"], rows["label"], rows["score"], strict=True)
        ):
            kept: Kept | None = None
            wrongness = float(-score if label else score)
            for heap, value in ((self._wrong[label], wrongness), (self._sample[label], _place(image))):
                if heap.takes((value, image)):
                    kept = kept or Kept(
                        Path(path), image, int(label), float(score),
                        heat=None if maps is None else _small(maps[i]).astype(np.float16),
                        mask=None if masks is None else _small(masks[i].astype(np.uint8)) > 0,
                        outside=None if inside is None else _small(inside[i].astype(np.uint8)) == 0,
                    )  # fmt: skip
                    heap.add((value, image), kept)

    def chosen(
        self, medians: Sequence[float | None], threshold: float | None, upper: float | None = None
    ) -> list[tuple[str, Kept]]:
        """Kind and image: at most `n` of each kind, the clearest first, no image twice.

        Args:
            medians: Of the scores of the good and of the defective test images; None where there are none.
            threshold: Raw; an image is anomalous from it on. None calls nothing, so nothing is missed.
            upper: Where there are two thresholds the second: only from it on a good image is a false alarm.
        """
        wrong_good, wrong_defective = (one.descending() for one in self._wrong)
        found: list[tuple[str, Kept]] = []
        if threshold is not None:
            found += [(MISSED, one) for one in wrong_defective if one.score < threshold]
            alarm = threshold if upper is None else upper
            found += [(FALSE_ALARM, one) for one in wrong_good if one.score >= alarm]
        drawn = {one.image for _, one in found}
        for kind, sample, median in zip((TYPICAL_GOOD, TYPICAL_DEFECTIVE), self._sample, medians, strict=True):
            if median is not None:
                left = [(abs(one.score - median), one.image, one) for one in sample.descending()]
                left = sorted(entry for entry in left if entry[1] not in drawn)
                found += [(kind, one) for *_, one in left[: self.n]]
        return found


def draw(
    chosen: Sequence[tuple[str, Kept]], folder: Path, *, map_range: tuple[float, float], imaging: Imaging | None = None
) -> list[Panel]:
    """Write one JPEG panel (image, heat map, mask) for each image into `images/` and list them for the record.

    Args:
        chosen: Kind and image, see `ImageKeeper.chosen`.
        folder: The run's folder.
        map_range: Raw map values drawn as cold and as hot, equal for all panels of a run.
        imaging: How images are read; None for 8 bits of RGB.
    """
    shutil.rmtree(folder / "images", ignore_errors=True)  # of a refinement each round draws
    listed: list[Panel] = []
    for kind, kept in chosen:
        place = sum(panel.kind == kind for panel in listed)
        name = f"images/{kind.replace(' ', '-')}-{place}.jpg"
        (folder / "images").mkdir(exist_ok=True)
        panel(kept, map_range, imaging).save(folder / name, quality=85)
        listed.append(Panel(kind=kind, label=kept.label, score=kept.score, image=kept.image, panel=name))
    return listed


def panel(kept: Kept, map_range: tuple[float, float], imaging: Imaging | None = None) -> Image.Image:
    """Image, heat map over the image, and mask (empty for a good image) side by side, as far as there are any."""
    from extensions.data.imaging import Imaging
    from extensions.data.reading.pixels import read_shown

    image = Image.fromarray(read_shown(kept.path, imaging or Imaging()))
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    parts = [image.resize(size)]
    if kept.heat is not None:
        heat = Image.fromarray(heat_map(kept.heat.astype(np.float32), map_range)).resize(size)
        blended = Image.blend(parts[0], heat, 0.5)
        if kept.outside is not None:
            outside = Image.fromarray(kept.outside).resize(size, Image.Resampling.NEAREST)
            blended = Image.fromarray(hatched(np.asarray(blended), np.asarray(outside, dtype=bool)))
        parts.append(blended)
    if kept.mask is not None:
        mask = Image.fromarray((kept.mask * 255).astype(np.uint8)).convert("RGB")
        parts.append(mask.resize(size, Image.Resampling.NEAREST))
    whole = Image.new("RGB", ((size[0] + GAP) * len(parts) - GAP, size[1]), "white")
    for place, part in enumerate(parts):
        whole.paste(part, (place * (size[0] + GAP), 0))
    return whole


class _Best:
    """The `n` images with the highest values, each with its name so that equal values have an order, too."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._heap: list[tuple[tuple[float, str], Kept]] = []

    def takes(self, value: tuple[float, str]) -> bool:
        """Whether an image of this value belongs to them."""
        return len(self._heap) < self.n or value > self._heap[0][0]

    def add(self, value: tuple[float, str], kept: Kept) -> None:
        """Add an image that `takes` accepted, in place of the lowest one."""
        (heapq.heappush if len(self._heap) < self.n else heapq.heapreplace)(self._heap, (value, kept))

    def descending(self) -> list[Kept]:
        """All of them, the highest first."""
        return [kept for _, kept in sorted(self._heap, key=lambda entry: entry[0], reverse=True)]


def _place(image: str) -> float:
    """A number from 0 to 1 that stands for an image's name, as good as random."""
    return int.from_bytes(hashlib.sha256(image.encode("utf-8", "surrogateescape")).digest()[:6], "big") / 2**48


def _small(content: np.ndarray) -> np.ndarray:
    """A map or mask (h, w), made smaller where a side exceeds `SIDE` px."""
    import cv2

    scale = SIDE / max(content.shape)
    if scale >= 1:
        return content.copy()
    size = (max(1, round(content.shape[1] * scale)), max(1, round(content.shape[0] * scale)))
    return cv2.resize(content, size, interpolation=cv2.INTER_AREA if content.dtype != np.uint8 else cv2.INTER_NEAREST)
