"""Of a model that was trained on several products: the thresholds of each of them, from the runs that tested it."""

from __future__ import annotations

from pathlib import Path

from benchmark.records.archive import read_records
from benchmark.records.kept_thresholds import kept_thresholds
from benchmark.records.packed import read_calibration, read_scores
from benchmark.records.record import Record
from benchmark.statistics.requirement import Requirement
from extensions.data.joint_training import TESTED
from inference.export.product_thresholds import ProductThreshold


def product_thresholds(
    record: Record, records: Path, *, requirement: Requirement | None = None
) -> tuple[ProductThreshold, ...]:
    """Those of every product that was tested with the same fit, by name; none for a model of one product.

    Args:
        record: Of a finished run.
        records: Output folder of the benchmark, with the runs of the other products.
        requirement: What the thresholds are to keep; None leaves them as their records have them.
    """
    if not record.dataset.products:
        return ()
    alike = [one for one in read_records(records) if one.is_finished and one.is_current and _fit(one) == _fit(record)]
    newest = {one.dataset.category: one for one in sorted(alike, key=lambda one: one.started)}
    newest[record.dataset.category] = record
    return tuple(_threshold(one, records, requirement) for _, one in sorted(newest.items()))


def _fit(record: Record) -> tuple[object, ...]:
    """What the runs of one fit have in common."""
    told = record.experiment.on_disk()
    arguments = {name: value for name, value in record.experiment.data.init_args.items() if name not in TESTED}
    return {**told, "data": arguments}, record.weights_sha256, record.dataset.name


def _threshold(record: Record, records: Path, requirement: Requirement | None) -> ProductThreshold:
    kept = record.thresholds
    if requirement is not None:
        calibration = read_calibration(records, record)
        how = record.dataset.part_score
        kept = kept_thresholds(read_scores(records, record), requirement, calibration=calibration, part_score=how)
    return ProductThreshold(
        product=record.dataset.category,
        threshold=kept.image,
        upper_threshold=kept.upper,
        threshold_source=kept.source,
        promise=kept.promise,
        run_key=record.key,
    )
