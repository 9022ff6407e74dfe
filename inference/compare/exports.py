"""One run of a benchmark exported, and held against its trained model on labelled images."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.metrics import roc_auc_score

from extensions.runtime.progress import finished_step
from inference.compare.table import COLUMNS, KEPT, new_row, rejected
from inference.export.trained_run import FinishedRun, TrainedRun
from inference.export.write_model import NETWORK, ExportOptions, export_model
from inference.measure.agreement import AUROC_DROP, TOLERANCES, compare
from inference.measure.labelled_images import LabelledImages
from inference.model.predictors import load_predictor

logger = logging.getLogger(__name__)


def compare_exports(
    run: FinishedRun, images: LabelledImages, *, folder: Path, output: Path, precisions: Sequence[str]
) -> list[tuple[dict[str, Any], Path | None]]:
    """Rows of one run, and its networks; images that it was trained on are left out."""
    try:
        trained = run.load()
    except (ValueError, RuntimeError, OSError) as error:
        return [(rejected(new_row(run=run.key), error), None)]
    info = trained.info
    unseen = images.without(trained.images)
    try:
        unseen.check(folder)
    except ValueError as error:
        told = f"{error}, but for those that the run was trained on; give its test images"
        return [(rejected(new_row(run=run.key, model=info.model), told), None)]
    if n_seen := len(images.files) - len(unseen.files):
        logger.warning("%s: run %s was trained on %d of these images; they are left out", folder, run.key, n_seen)
    rows: list[tuple[dict[str, Any], Path | None]] = []
    key, backbone = info.run_key or run.key, (info.backbone or {}).get("name")
    for precision in precisions:
        target = output / f"{info.model}-{key[:8]}" / precision
        row = new_row(run=key, model=info.model, backbone=backbone, precision=precision)
        try:
            rows.append((row | _compared(trained, unseen, target, precision), target / NETWORK))
        except (ValueError, RuntimeError, OSError) as error:
            rows.append((rejected(row, error), None))
            continue
        finished_step(f"{info.model} {precision}: exported and compared")
    return rows


def _compared(run: TrainedRun, images: LabelledImages, target: Path, precision: str) -> dict[str, Any]:
    """Export, then compare on all images of the folder."""
    export_model(
        run.model,
        run.info,
        target,
        files=run.images,
        options=ExportOptions(precision=precision, allow_difference=True, measures_speed=False),
        fitted_on=run.fitted_on,
    )
    predictor = load_predictor(target / NETWORK)
    with tempfile.TemporaryDirectory() as scratch:
        agreement = compare(
            run.model,
            predictor,
            [(file, "") for file in images.files],
            names=[file.name for file in images.files],
            tolerances=TOLERANCES[precision],
            workspace=Path(scratch),
        )
    trained, found = (
        float(roc_auc_score(images.is_anomalous, scores))
        for scores in ([row.torch_score for row in agreement.rows], [row.exported_score for row in agreement.rows])
    )
    refitted, errors = predictor.info.refitted, []
    if not agreement.agrees:
        errors.append(f"differs from training by more than is accepted: {agreement.sentence()}")
    if refitted and trained - found > AUROC_DROP:
        errors.append(f"the image AUROC falls from {trained:.4f} to {found:.4f}; accepted is {AUROC_DROP} less")
    told = {name: value for name, value in agreement.summary.on_disk.items() if name in COLUMNS} | {
        "image_AUROC_trained": trained,
        "image_AUROC": found,
        "threshold_trained": predictor.info.trained_threshold,
        "threshold": predictor.info.threshold,
        "upper_threshold_trained": predictor.info.trained_upper_threshold,
        "upper_threshold": predictor.info.upper_threshold,
        "n_unsure_trained": agreement.summary.n_unsure,
        "n_unsure": agreement.summary.n_exported_unsure,
        "threshold_fitted_on": refitted.on if refitted else None,
        "megabytes": sum((target / name).stat().st_size for name in (NETWORK, "model.bin")) / 1e6,
    }
    return rejected(told, "; ".join(errors)) if errors else told | {"verdict": KEPT}
