"""The images that the leading models decided best and worst, where a run drew them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmark.metrics.columns import shown_dataset
from benchmark.records.record import Record
from benchmark.records.record_sections import Panel

MAX_RANK = 2
MAX_IMAGES = 60


@dataclass(frozen=True)
class GalleryImage:
    """One panel (image, heat map, mask if there is one) and what to say of it.

    Attributes:
        kind: ``worst`` or ``best``, by the distance of the score to the threshold.
        truth: ``normal`` or ``anomalous``.
        called: The same, as the model decided; empty without a threshold.
        jpeg: The panel.
        size: Its (width, height) in px.
    """

    dataset: str
    category: str
    rank: int
    detector: str
    kind: str
    truth: str
    called: str
    score: float
    threshold: float | None
    image: str
    jpeg: bytes
    size: tuple[int, int]


def gallery(leading: Sequence[tuple[int, Record]], output: Path) -> list[GalleryImage]:
    """Panels of the two best models of each data set and category, of the first seed that has any.

    A panel that is not on disk or cannot be read is left out. `leading` are rank and record, best first.
    """
    images: list[GalleryImage] = []
    seen = set()
    for rank, record in leading:
        listed = record.files.images
        place = (record.dataset.name, record.dataset.category, rank)
        if rank > MAX_RANK or not listed or place in seen:
            continue
        seen.add(place)
        found = [_gallery_image(rank, record, panel, output) for panel in listed]
        images += [image for image in found if image is not None]
    return images[:MAX_IMAGES]


def _gallery_image(rank: int, record: Record, listed: Panel, output: Path) -> GalleryImage | None:
    try:
        with Image.open(output / record.folder / listed.panel) as panel:
            jpeg = io.BytesIO()
            panel.convert("RGB").save(jpeg, "JPEG", quality=85)
            size = panel.size
    except OSError:
        return None
    threshold = record.thresholds.image
    words = ("normal", "anomalous")
    return GalleryImage(
        dataset=shown_dataset(record.dataset.name, synthetic=record.dataset.synthetic),
        category=record.dataset.category,
        rank=rank,
        detector=" on ".join(filter(None, [record.model, record.backbone])),
        kind=listed.kind,
        truth=words[listed.label],
        called="" if threshold is None else words[listed.score >= threshold],
        score=listed.score,
        threshold=threshold,
        image=listed.image,
        jpeg=jpeg.getvalue(),
        size=size,
    )
