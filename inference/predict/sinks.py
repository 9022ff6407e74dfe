"""Where predictions go: a table, overlays, an annotated video; each there whole, also after Ctrl-C."""

from __future__ import annotations

import csv
import io
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from extensions.runtime.atomic_write import write_whole
from extensions.runtime.escaped import escaped, spreadsheet_name
from inference.model.metadata import ModelInfo
from inference.model.predictors import Prediction
from inference.predict.overlay_files import FOLDER, marked, overlay_names
from inference.predict.overlays import overlay
from inference.predict.part_table import PartTable

COLUMNS = ("image", "pred_score", "pred_score_normalized", "threshold", "pred_label", "verdict", "latency_ms", "error")
COLUMNS_BEFORE = tuple(name for name in COLUMNS if name != "verdict")
"""Of a table of before there were three verdicts."""
TABLE = "predictions.csv"
KEEP_SECONDS = 60.0
WAITING = 8  # overlays that may wait to be written before reading stops for them


class Table:
    """`predictions.csv`: a row an image, written whole when the work ends, however it ends, and now and then before.

    Names are escaped where they are not UTF-8 or hold control characters, and get `./` where a spreadsheet would take
    them for a formula. `pred_score` and `threshold`, of two the lower one, are raw; `pred_label` is 1 for anomalous, 0
    for normal; `verdict` is good, defective or unsure, of which the latter two are anomalous; both are blank without a
    threshold. `latency_ms` is what the image took of the network's time, see `Prediction`.

    Args:
        folder: Output folder.
        threshold: In force, raw, of two the lower one; None without one.
    """

    def __init__(self, folder: Path, threshold: float | None) -> None:
        self.path = folder / TABLE
        self._threshold = "" if threshold is None else repr(threshold)
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow(COLUMNS)
        self._due = time.monotonic() + KEEP_SECONDS

    def add(self, name: str, outcome: Prediction | str) -> None:
        """Add an image and what was found, or why nothing was."""
        self._add(name, outcome)
        if time.monotonic() >= self._due:  # a camera's work ends with a power cut
            self.close()

    def _add(self, name: str, outcome: Prediction | str) -> None:
        if isinstance(outcome, str):
            self._writer.writerow([spreadsheet_name(name), "", "", self._threshold, "", "", "", escaped(outcome)])
            return
        normalized = "" if outcome.pred_score_normalized is None else f"{outcome.pred_score_normalized:.6g}"
        label = "" if outcome.pred_label is None else int(outcome.pred_label)
        score = f"{outcome.pred_score:.9g}"  # enough digits for the same float32
        judged = [self._threshold, label, outcome.verdict or ""]
        self._writer.writerow([spreadsheet_name(name), score, normalized, *judged, f"{outcome.latency_ms:.3f}", ""])

    def close(self) -> None:
        """Write the file."""
        started = time.monotonic()
        write_whole(self.path, self._text.getvalue())
        taken = time.monotonic() - started
        self._due = started + max(KEEP_SECONDS, 100 * taken)


class Overlays:
    """PNG files in `overlays/`, written by threads beside the work, named by `overlay_names`.

    The name is escaped as in the table, and cut where it is too long.

    Args:
        folder: Output folder.
        info: Of the model.
        names: Of all images that will come; of one that is not among them the name is made when it comes.
    """

    def __init__(self, folder: Path, info: ModelInfo, *, names: Sequence[str] = ()) -> None:
        self.folder = folder / FOLDER
        self._info = info
        self._names = overlay_names(names)
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def add(self, name: str, image: np.ndarray, prediction: Prediction) -> None:
        """Have an overlay drawn and written; waits for earlier ones when many are pending."""
        target = self._names.get(name) or overlay_names([name])[name]
        self._waiting.append(self._pool.submit(self._write, target, image, prediction))
        while len(self._waiting) > WAITING:
            self._waiting.popleft().result()

    def _write(self, name: str, image: np.ndarray, prediction: Prediction) -> None:
        drawn = overlay(image, prediction, self._info)
        _, encoded = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        write_whole(self.folder / PurePosixPath(name), marked(encoded.tobytes()))

    def close(self) -> None:
        """Wait for what is pending."""
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown()


class AnnotatedVideo:
    """A video of the overlays, MPEG-4, renamed to its name when it is complete.

    Args:
        path: `.mp4` file.
        info: Of the model.
        frames_per_second: As in the source; 25 where it does not say.
    """

    def __init__(self, path: Path, info: ModelInfo, frames_per_second: float) -> None:
        self.path = path
        self._info = info
        self._rate = frames_per_second if 0 < frames_per_second < 1000 else 25.0
        self._part = path.with_name(f".{path.name}")
        self._writer: Any = None
        self._size = (0, 0)

    def add(self, _: str, image: np.ndarray, prediction: Prediction) -> None:
        """Append a frame.

        Raises:
            OSError: The video cannot be written.
        """
        drawn = overlay(image, prediction, self._info)
        if self._writer is None:
            height, width = drawn.shape[:2]
            self._size = (width - width % 2, height - height % 2)  # the codec takes even sizes only
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, self._size)
            if not self._writer.isOpened():
                msg = f"{self.path}: the video cannot be written; give another --output, or leave --overlays out"
                raise OSError(msg)
        if drawn.shape[1::-1] != self._size:
            drawn = drawn[: self._size[1], : self._size[0]]
        self._writer.write(cv2.cvtColor(np.ascontiguousarray(drawn), cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: It cannot be played: OpenCV does not tell when the disk is full.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if not cv2.VideoCapture(str(self._part)).isOpened():
            self._part.unlink(missing_ok=True)
            msg = f"{self.path} could not be written whole; make room there, or give another --output"
            raise OSError(msg)
        self._part.replace(self.path)


class Sinks:
    """The table and, if asked for, images; closes all of them, whatever happened.

    Args:
        table: Of all images.
        images: Of those that could be read; None for none.
        parts: The table of parts; None where none are named.
    """

    def __init__(self, table: Table, images: Overlays | AnnotatedVideo | None, parts: PartTable | None = None) -> None:
        self.table = table
        self.images = images
        self._parts = parts

    def add(self, name: str, outcome: Prediction | str) -> None:
        """Add an image, and what was found or why nothing was, to the tables."""
        self.table.add(name, outcome)
        if self._parts is not None:
            self._parts.add(name, outcome)

    def __enter__(self) -> Sinks:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        try:
            if self.images is not None:
                self.images.close()
        finally:
            self.table.close()
            if self._parts is not None:
                self._parts.close()
