"""Predict on a source: reading, computing and writing at the same time, in the order of the images."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from extensions.data.checks.remarks import sentences
from extensions.data.reading.pixels import shown
from extensions.data.reading.stored import Stored
from extensions.runtime.progress import progress_bar
from inference.model.metadata import ModelInfo
from inference.model.predictors import Prediction, Predictor
from inference.predict.overlay_files import FOLDER, VIDEO, remove_earlier
from inference.predict.part_table import PartTable, remove_earlier_parts
from inference.predict.sinks import COLUMNS, COLUMNS_BEFORE, TABLE, AnnotatedVideo, Overlays, Sinks, Table
from inference.predict.sources import Item, Source


@dataclass(frozen=True)
class Report:
    """What became of a source.

    Attributes:
        n_done: Images with a prediction.
        n_failed: Images with an error in their row.
        n_anomalous: Of those done, the unsure ones among them.
        n_missing: Frames that a video promised and did not have.
        seconds: From the first image asked for to the last file written.
        unit: What was looked at, `image` or `frame`.
        n_unsure: Of those done.
        remarks: Sentences about images that were read, but perhaps not as their owner thinks.
    """

    n_done: int
    n_failed: int
    n_anomalous: int
    n_missing: int
    seconds: float
    unit: str = "image"
    n_unsure: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every image has a prediction."""
        return not self.n_failed and not self.n_missing and self.n_done > 0

    def sentence(self, info: ModelInfo, output: Path, *, overlays: bool) -> str:
        """What was found by the thresholds in force, and where to look at it."""
        units, threshold, upper = f"{self.unit}s", info.threshold, info.upper_threshold
        if threshold is None:
            found = f"{self.n_done} {units} scored; without a threshold none is judged (give one by --threshold)"
        elif upper is not None:
            n_defective = self.n_anomalous - self.n_unsure
            is_are = "is" if n_defective == 1 else "are"
            found = f"{n_defective} of {self.n_done} {units} {is_are} defective, {self.n_unsure} unsure "
            found += f"(defective: raw score >= {upper:.6g}, unsure: from {threshold:.6g} on)"
        else:
            is_are = "is" if self.n_anomalous == 1 else "are"
            found = f"{self.n_anomalous} of {self.n_done} {units} {is_are} anomalous (raw score >= {threshold:.6g})"
        drawn = f", heat maps in {output / (VIDEO if self.unit == 'frame' else FOLDER)}" if overlays else ""
        return f"{found}, in {self.seconds:.1f} s: open {output / TABLE}{drawn}"


def predict(
    predictor: Predictor,
    source: Source,
    output: Path,
    *,
    overlays: bool = False,
    progress: bool = True,
    parts: PartTable | None = None,
) -> Report:
    """Predict on all images of a source.

    Leaves `predictions.csv`, with `overlays` also PNG files in `overlays/`, named after the images, or, for frames,
    `annotated.mp4`. What was done before Ctrl-C or an error is there whole; what an earlier run left there is removed.

    Args:
        predictor: See `load_predictor`.
        source: See `open_source`.
        output: Folder; files of the same names in it are replaced.
        overlays: Whether to draw.
        progress: Whether to show a bar with the time left.
        parts: The table of parts, for `parts.csv`; None where none are named.

    Raises:
        OSError: The output cannot be written.
    """
    check_writable(output)
    remove_earlier(output, table=TABLE, columns=(COLUMNS, COLUMNS_BEFORE))
    remove_earlier_parts(output)
    images: Overlays | AnnotatedVideo | None = None
    if overlays:
        video = AnnotatedVideo(output / VIDEO, predictor.info, source.frames_per_second)
        images = Overlays(output, predictor.info, names=source.names) if source.kind == "images" else video
    started = time.perf_counter()
    n_done = n_failed = n_anomalous = n_unsure = 0
    unaligned: list[str] = []
    remarked: dict[str, Stored] = {}
    bar = progress_bar(title="predict", total=source.total, unit="image", hidden=not progress, delay=0, leave=True)
    order: deque[Item] = deque()  # read and not yet in the table
    with bar, Sinks(Table(output, predictor.info.threshold), images, parts) as sinks:
        for item, outcome in _in_order(predictor.stream(_readable(source, order)), order):
            bar.update()
            if isinstance(outcome, Exception):
                n_failed += 1
                sinks.add(item.name, " ".join(str(outcome).split()))
                continue
            n_done += 1
            if item.stored != Stored():
                remarked[item.name] = item.stored
            if outcome.aligned is False:
                unaligned.append(item.name)
            n_anomalous += bool(outcome.pred_label)
            n_unsure += outcome.verdict == "unsure"
            sinks.add(item.name, outcome)
            if sinks.images is not None and item.image is not None:
                sinks.images.add(item.name, shown(item.image, predictor.info.imaging), outcome)
    unit = "image" if source.kind == "images" else "frame"
    seconds, remarks = time.perf_counter() - started, tuple(sentences(remarked, n_files=n_done))
    if unaligned:
        remarks += (
            f"{len(unaligned)} of {n_done} {unit}s could not be aligned with the model's template, such as "
            f"{unaligned[0]}: they were judged as they were found to lie best; look at them",
        )
    return Report(n_done, n_failed, n_anomalous, source.missing, seconds, unit, n_unsure, remarks)


def _readable(source: Source, order: deque[Item]) -> Iterator[tuple[Item, np.ndarray]]:
    """What the predictor gets; unreadable images only take their place in the order."""
    for item in source.items:
        order.append(item)
        if item.image is not None:
            yield item, item.image


def _in_order(
    outcomes: Iterator[tuple[Item, Prediction | Exception]], order: deque[Item]
) -> Iterator[tuple[Item, Prediction | Exception]]:
    """The outcomes, with unreadable images where they stood among the others."""
    for item, outcome in outcomes:
        while order and order[0] is not item:
            unread = order.popleft()
            yield unread, ValueError(unread.error)
        order.popleft()
        yield item, outcome
    while order:
        unread = order.popleft()
        yield unread, ValueError(unread.error)


def check_writable(output: Path) -> None:
    """Before the work, not after.

    Raises:
        OSError: No file can be made in this folder.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        reason = "it is a file" if output.is_file() else (error.strerror or str(error)).lower()
        msg = f"{output}: nothing can be written there ({reason}); give another folder by --output"
        raise OSError(error.errno, msg) from error
