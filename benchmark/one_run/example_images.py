"""The best and the worst images of a run, kept while the test passes by and drawn afterwards."""

from __future__ import annotations

import heapq
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmark.records.record_sections import Panel
from extensions.runtime.heat_map import heat_map

if TYPE_CHECKING:
    import pandas as pd

PANEL = 224  # px, side of each of the three parts of a panel


class ImageKeeper:
    """Keeps, in bounded memory, the images a run decided best and worst.

    Worst are normal images with high and anomalous images with low scores; best the other way round.

    Args:
        n: How many best and how many worst images to keep; 0 keeps nothing.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._order = itertools.count()
        self._heaps: dict[tuple[int, int], list[tuple[float, int, dict[str, Any]]]] = {
            (label, sign): [] for label in (0, 1) for sign in (-1, 1)
        }

    def offer(self, rows: pd.DataFrame, maps: np.ndarray, masks: np.ndarray | None) -> None:
        """Consider a batch: rows with path, image, label, score; `(N, H, W)` raw maps and masks."""
        if not self.n:
            return
        for i, row in enumerate(rows.to_dict("records")):
            for sign in (-1, 1):
                heap = self._heaps[int(row["label"]), sign]
                value = sign * float(row["score"])
                if len(heap) == self.n and value <= heap[0][0]:
                    continue
                kept = {name: row[name] for name in ("path", "image", "label", "score")}
                kept |= {"map": maps[i].astype(np.float16), "mask": None if masks is None else masks[i]}
                entry = (value, next(self._order), kept)
                (heapq.heappush if len(heap) < self.n else heapq.heapreplace)(heap, entry)

    def draw(self, folder: Path, *, threshold: float | None, map_range: tuple[float, float]) -> list[Panel]:
        """Write one PNG panel (image, heat map, mask) for each kept image and list them for the record.

        Args:
            folder: The run's folder; panels go to its `images/`.
            threshold: Raw image threshold; the distance to it decides how right or wrong a decision was. None when the
                test images are all of one kind: then their order alone does.
            map_range: Raw map values drawn as cold and as hot, equal for all panels of a run.
        """
        kept = {entry[2]["path"]: entry[2] for heap in self._heaps.values() for entry in heap}.values()
        ranked = sorted(kept, key=lambda k: (k["score"] - (threshold or 0)) * (1 if k["label"] else -1))
        worst = ranked[: self.n]
        best = ranked[len(worst) :][::-1][: self.n]
        listed = []
        for kind, images in (("worst", worst), ("best", best)):
            for place, image in enumerate(images):
                name = f"images/{kind}-{place}.png"
                (folder / "images").mkdir(exist_ok=True)
                panel(image, map_range).save(folder / name)
                described = {key: image[key] for key in ("label", "score", "image")}
                listed.append(Panel(kind=kind, **described, panel=name))
        return listed


def panel(kept: dict[str, Any], map_range: tuple[float, float]) -> Image.Image:
    """Image, heat map over the image, and mask (empty for a normal image) side by side."""
    from extensions.data import read_image

    size = (PANEL, PANEL)
    image = Image.fromarray(read_image(Path(kept["path"]))).resize(size)
    heat = Image.fromarray(heat_map(kept["map"].astype(np.float32), map_range)).resize(size)
    parts = [image, Image.blend(image, heat, 0.5)]
    if kept["mask"] is not None:
        parts.append(
            Image.fromarray((kept["mask"] * 255).astype(np.uint8)).convert("RGB").resize(size, Image.Resampling.NEAREST)
        )
    whole = Image.new("RGB", (PANEL * len(parts) + 4 * (len(parts) - 1), PANEL), "white")
    for place, part in enumerate(parts):
        whole.paste(part, (place * (PANEL + 4), 0))
    return whole
