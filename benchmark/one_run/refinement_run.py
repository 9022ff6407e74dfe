"""A run whose training images are refined: a run per round, and what was removed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmark.metrics.metric_table import METRICS
from benchmark.records.record import Record
from benchmark.records.record_sections import Files, Round, Thresholds, Training
from benchmark.records.record_sections import Refinement as RefinementSection
from benchmark.records.run_files import write_text

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule
    from anomalib.models import AnomalibModule

    from benchmark.one_run.preparation import Prepared
    from benchmark.plan.experiment import Experiment
    from extensions.refinement.loop import Refinement
    from extensions.refinement.plan import Plan
    from extensions.refinement.sources import Sources

BACKBONE = "tf_efficientnet_lite0"  # that looks at the images for a detector that has none and a plan that names none
ROUNDS, SUSPECTS, PAGE = "rounds.csv", "suspects.csv", "suspects.html"
ROUND_COLUMNS = (
    "dataset", "category", "detector", "strategy", "rule", "ratio", "seed", "round", "n_train", "n_removed",
    "n_injected_removed", "precision", "recall", "score_auroc", "image_AUROC", "pixel_AUROC", "pixel_AUPRO",
)  # fmt: skip
"""Columns of ``rounds.csv``, in order."""

Measure = Callable[["Prepared"], tuple[Record, "AnomalibModule"]]


@dataclass(frozen=True)
class TrainedRound:
    """A detector of one round: what its record would say, and itself."""

    record: Record
    model: AnomalibModule

    @property
    def metrics(self) -> dict[str, float | None]:
        """On the test set."""
        return self.record.metrics


def measure_refined(
    record: Record, prepared: Prepared, workspace: Path, measure: Measure, *, page: bool = False
) -> Record:
    """Refine, and return the record of the last round's run with what is known of the refinement.

    Args:
        record: What is known before.
        prepared: What is refined.
        workspace: Gets `rounds.csv` and `suspects.csv`.
        measure: Fits and tests on the datamodule of what it is given; the files of a later call replace those of an
            earlier one.
        page: Draw `suspects.html`, too.
    """
    from extensions.refinement.loop import refine
    from extensions.refinement.plan import Plan
    from extensions.refinement.screening import Screening
    from extensions.runtime.progress import finished_step

    experiment = prepared.experiment
    plan = Plan.from_config(experiment.refinement)
    screening = Screening(prepared.datamodule)
    datamodule = screening.datamodule
    started = time.perf_counter()
    evidence = _evidence(prepared.resolved, plan, datamodule)
    seconds = {"features": time.perf_counter() - started}
    found = refine(
        datamodule,
        plan,
        seed=experiment.seed,
        evidence=evidence,
        train=lambda part: TrainedRound(*measure(replace(prepared, datamodule=screening.apart(part)))),
        held_out=screening.held_out,
        on_round=finished_step if page else lambda _: None,
    )
    seconds |= {name: sum(r.seconds[name] for r in found.rounds) for name in ("score", "train")}
    write_text(workspace / ROUNDS, rounds_table(prepared, plan, found).to_csv(index=False, lineterminator="\n"))
    _write_suspects(found, datamodule, workspace, page=page)
    last = found.rounds[-1].trained
    table = found.table().astype(object)
    rows = table.where(table.notna(), None).to_dict("records")
    section = RefinementSection(
        retrain=plan.retrain,
        repeats=(getattr(datamodule, "contamination", None) or {}).get("repeats", 1),
        n_held_out=int(found.held_out.sum()),
        compared=found.rounds[0].compared,
        rounds=[Round.model_validate(row) for row in rows],
        seconds=seconds,
        files={"rounds": ROUNDS, "suspects": SUSPECTS, "page": PAGE if page else None},
    )
    done = last.record if isinstance(last, TrainedRound) else _nothing_trained(record)
    return done.model_copy(update={"refinement": section})


def _evidence(experiment: Experiment, plan: Plan, datamodule: AnomalibDataModule) -> Sources | None:
    """What strategies may look at; a person's review looks at nothing."""
    from extensions.refinement.plan import REVIEW
    from extensions.refinement.sources import Sources
    from extensions.refinement.training_features import training_features

    if plan.strategy == REVIEW:
        return None
    backbone, weights = plan.backbone or experiment.backbone or BACKBONE, plan.weights
    if not plan.backbone:
        weights = weights or (experiment.model.get("init_args") or {}).get("weights")
    features = training_features(datamodule, backbone=backbone, weights=weights, image_size=plan.image_size)
    return Sources(features, datamodule)


def rounds_table(prepared: Prepared, plan: Plan, found: Refinement) -> pd.DataFrame:
    """`rounds.csv`."""
    told = {
        "dataset": prepared.dataset,
        "category": prepared.category,
        "detector": prepared.experiment.model_name,
        "strategy": plan.strategy,
        "rule": plan.rule,
        "ratio": getattr(prepared.datamodule, "contamination_ratio", None),
        "seed": prepared.experiment.seed,
    }
    return found.table().assign(**told)[list(ROUND_COLUMNS)]


def _write_suspects(found: Refinement, datamodule: AnomalibDataModule, workspace: Path, *, page: bool) -> None:
    """`suspects.csv`, and the page where it is asked for."""
    from extensions.refinement.review.suspects import suspects_text, write_suspects

    frame = found.suspects()
    if not page:
        write_text(workspace / SUSPECTS, suspects_text(frame))
        return
    paths = dict(zip(found.names, map(Path, datamodule.train_data.samples["image_path"]), strict=True))
    last = found.rounds[-1].trained
    row, n_rounds = found.table().iloc[-1], found.rounds[-1].number
    facts = {
        "Images": str(len(found.names)),
        "Removed": f"{row.n_removed} in {n_rounds} round{'' if n_rounds == 1 else 's'}",
        "Score": "how unusual an image is among the others, higher is more",
    }
    if found.held_out.any():
        facts["Held out"] = f"{found.held_out.sum()} of the images, to set the threshold on"
    if found.injected is not None:
        facts["Known to be defective"] = f"{found.injected.sum()}, of which {row.n_injected_removed} were removed"
    write_suspects(
        frame,
        workspace,
        image=paths.__getitem__,
        heat=_anomaly_map_of(last.model, datamodule, found.names) if isinstance(last, TrainedRound) else lambda _: None,
        title=f"{datamodule.name} {datamodule.category}".rstrip(),
        facts=facts,
    )


def _anomaly_map_of(
    model: AnomalibModule, datamodule: AnomalibDataModule, names: list[str]
) -> Callable[[str], np.ndarray | None]:
    """From an image's name to the anomaly map of the last detector, which never saw what was removed."""
    import torch

    from extensions.data.datamodules.stock_datasets import read_as_ours

    data = read_as_ours(datamodule.train_data)
    places = {name: place for place, name in enumerate(names)}
    transform = getattr(model.pre_processor, "transform", None)
    model.eval()

    def heat(name: str) -> np.ndarray | None:
        image = data[places[name]].image[None]
        with torch.inference_mode():
            output = model.model((transform(image) if transform is not None else image).to(model.device))
        return None if output.anomaly_map is None else output.anomaly_map[0, 0].float().cpu().numpy()

    return heat


def _nothing_trained(record: Record) -> Record:
    """The record of a run that only ranked images."""
    return record.model_copy(
        update={
            "status": "finished",
            "error": None,
            "metrics": dict.fromkeys(entry.name for entry in METRICS),
            "thresholds": Thresholds(image=None, pixel=None, source=None),
            "training": Training(epochs=None, max_epochs=None, stopped_by="nothing trained", converged=None),
            "files": Files(scores=None, checkpoint=None, images=None),
        }
    )
