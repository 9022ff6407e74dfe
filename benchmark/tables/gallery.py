"""Images that show what the leading models decide: missed, false alarms and typical ones, where a run drew them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmark.metrics.columns import shown_dataset
from benchmark.records.record import Record
from benchmark.records.record_sections import FALSE_ALARM, MISSED, Panel

MAX_RANK = 2
MAX_IMAGES = 60
GOOD, DEFECTIVE, UNSURE = "good", "defective", "unsure"


@dataclass(frozen=True)
class GalleryImage:
    """One panel (image, heat map, mask if there is one) and what to say of it.

    Attributes:
        kind: One of `KINDS` of the record's sections; of earlier records ``worst`` or ``best``, by the distance of
            the score to the threshold.
        truth: ``good`` or ``defective``.
        called: The same, as the model decided, or ``unsure``; empty without a threshold.
        score: Raw, higher is more anomalous.
        threshold: Raw, from it on an image is called defective; with two thresholds the lower one.
        image: Its name in the record.
        jpeg: The panel.
        size: Its (width, height) in px.
        file: The panel's file, relative to the output folder, with ``/``.
        key: Of the run.
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
    file: str = ""
    key: str = ""


def gallery(leading: Sequence[tuple[int, Record]], output: Path) -> list[GalleryImage]:
    """Panels of the two best models of each data set and category, of the first seed that has any.

    At most `MAX_IMAGES`: where there are more, the best models and the first image of each kind go first. A panel that
    cannot be read, or whose kind the record's threshold no longer makes true, is left out. `leading` are rank and
    record, best first.
    """
    wanted: list[tuple[tuple[int, int], int, Record, Panel]] = []
    seen = set()
    for rank, record in leading:
        listed = [panel for panel in record.files.images or () if _is_true(panel, record)]
        place = (record.dataset.name, record.dataset.category, rank)
        if rank > MAX_RANK or not listed or place in seen:
            continue
        seen.add(place)
        for number, panel in enumerate(listed):
            of_its_kind = sum(other.kind == panel.kind for other in listed[:number])
            wanted.append(((of_its_kind, rank), rank, record, panel))
    first = sorted(range(len(wanted)), key=lambda i: wanted[i][0])[:MAX_IMAGES]
    found = [_gallery_image(*wanted[i][1:], output) for i in sorted(first)]
    return [image for image in found if image is not None]


def _is_true(panel: Panel, record: Record) -> bool:
    """Whether the record's thresholds, which may have been fitted anew, still make it what it was drawn as."""
    wrong = {MISSED: GOOD, FALSE_ALARM: DEFECTIVE}.get(panel.kind)
    return wrong is None or called(panel.score, record.thresholds.image, record.thresholds.upper) == wrong


def called(score: float, lower: float | None, upper: float | None) -> str:
    """What thresholds call an image of this raw score; empty without one, `upper` is None with one alone."""
    if lower is None:
        return ""
    if score < lower:
        return GOOD
    return DEFECTIVE if upper is None or score >= upper else UNSURE


def _gallery_image(rank: int, record: Record, listed: Panel, output: Path) -> GalleryImage | None:
    file = record.folder / listed.panel
    try:
        jpeg = (output / file).read_bytes()
        with Image.open(io.BytesIO(jpeg)) as panel:
            panel.load()
            size = panel.size
            if panel.format != "JPEG":
                converted = io.BytesIO()
                panel.convert("RGB").save(converted, "JPEG", quality=85)
                jpeg = converted.getvalue()
    except OSError:
        return None
    return GalleryImage(
        dataset=shown_dataset(record.dataset.name, synthetic=record.dataset.synthetic),
        category=record.dataset.category,
        rank=rank,
        detector=" on ".join(filter(None, [record.model, record.backbone])),
        kind=listed.kind,
        truth=DEFECTIVE if listed.label else GOOD,
        called=called(listed.score, record.thresholds.image, record.thresholds.upper),
        score=listed.score,
        threshold=record.thresholds.image,
        image=listed.image,
        jpeg=jpeg,
        size=size,
        file=file.as_posix(),
        key=record.key,
    )
