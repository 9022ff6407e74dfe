"""A finished run whose thresholds keep another requirement now: from its stored scores, nothing is run again."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from benchmark.records.kept_thresholds import kept_thresholds, usable_calibration
from benchmark.records.packed import read_calibration, read_scores
from benchmark.records.record import Record
from benchmark.records.record_file import RecordError, write_record
from benchmark.records.run_files import CHECKPOINT, RECORD
from benchmark.records.store import KEEP, Store
from benchmark.statistics.requirement import Requirement
from extensions.runtime.disk import room_for

logger = logging.getLogger(__name__)

_IMAGE_THRESHOLD = "post_processor._image_threshold"


def lacks_scores_for(record: Record, output: Path, requirement: Requirement | None) -> bool:
    """Whether a finished run has to be run again for this requirement: it asks for training images scored in folds."""
    if requirement is None or requirement.cross_conformal is None or not record.is_finished:
        return False
    try:
        return usable_calibration(read_calibration(output, record), requirement) is None
    except RecordError:
        return True


def with_requirement(store: Store, record: Record, requirement: Requirement | None) -> Record:
    """The record with thresholds that keep this requirement, written with its checkpoint where they kept another.

    Packed runs, and those without scores, stay as they are.
    """
    asked = requirement.on_disk if requirement is not None else None
    folder = store.output / record.folder
    is_asked = record.thresholds.requirement == asked
    if is_asked or not record.is_finished or record.files.scores is None or not (folder / RECORD).is_file():
        return record
    try:
        scores, calibration = read_scores(store.output, record), read_calibration(store.output, record)
    except RecordError as error:
        logger.warning("%s: its thresholds stay as they are, for its scores cannot be read: %s", folder, error)
        return record
    how = record.dataset.part_score
    found = kept_thresholds(scores, requirement, calibration=calibration, part_score=how)
    told = {name: getattr(record.thresholds, name) for name in ("pixel", "label_free", "label_free_source")}
    known = {name: value for name, value in told.items() if name in record.thresholds.model_fields_set}
    with store.lock(KEEP):
        changed = record.model_copy(update={"thresholds": found.model_copy(update=known)})
        if (folder / CHECKPOINT).is_file():  # first, so that a process that is killed does it again
            _set_threshold(folder / CHECKPOINT, found.image)
        write_record(folder, changed)
    return changed


def _set_threshold(checkpoint: Path, threshold: float | None) -> None:
    """Write the checkpoint with another image threshold in its post-processor, whole or not at all."""
    import torch
    from anomalib.utils.serialization import anomalib_safe_globals

    with anomalib_safe_globals():
        stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if _IMAGE_THRESHOLD not in stored["state_dict"]:
        return
    stored["state_dict"][_IMAGE_THRESHOLD].fill_(math.nan if threshold is None else threshold)
    beside = checkpoint.with_name(f".{checkpoint.name}.new")
    try:
        with room_for(checkpoint, checkpoint.stat().st_size):
            torch.save(stored, beside)
            beside.replace(checkpoint)
    finally:
        beside.unlink(missing_ok=True)
