"""From an experiment to a record: prepare, fit, test once, measure, write whole."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.disk import DiskFullError, room_for
from benchmark.experiment import PROTOCOL_VERSION, Experiment, constructor_defaults
from benchmark.store import CHECKPOINT, SCORES, Store, write_text

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule
    from anomalib.models import AnomalibModule

    from extensions.data import Fingerprint

logger = logging.getLogger(__name__)

DECODED_BYTES = 2**30  # of pictures that were checked and wait to be brought to size; freed before training


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out and what is kept of it; none of it changes a result.

    Args:
        sweep: Name under which the record is filed.
        overwrite: `missing` runs what has no record, `failed` also what failed, `all` everything.
        keep_checkpoint: Save `model.ckpt` beside the record.
        pictures: How many best and worst pictures to draw; 0 draws none.
        progress: Show a progress bar of the run.
        layers: For a `backbone_id`, all layers that the sweep asks of it, so that one pass serves all its runs.
        n_threads: Threads of torch; None leaves them as they are.
        page: Draw `suspects.html` for a refinement.
    """

    sweep: str = ""
    overwrite: str = "missing"
    keep_checkpoint: bool = True
    pictures: int = 0
    progress: bool = True
    layers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    n_threads: int | None = None
    page: bool = False


@dataclass(frozen=True)
class Prepared:
    """An experiment whose data and weights were found, or the error that says why not."""

    experiment: Experiment
    dataset: str
    category: str
    key: str
    datamodule: AnomalibDataModule | None = None
    fingerprint: Fingerprint | None = None
    weights: dict[str, str] | None = None
    error: Exception | None = None

    def folder(self, store: Store) -> Path:
        """Where the record belongs."""
        return store.folder(
            dataset=self.dataset,
            category=self.category,
            model=self.experiment.model_name,
            backbone=self.experiment.backbone,
            key=self.key,
        )


def prepare(experiment: Experiment) -> Prepared:
    """Find and check data and weights and compute the key; an error becomes part of the answer, not an exception."""
    from extensions.configuration import instantiate_data
    from extensions.data import fingerprint

    dataset, category = named(experiment)
    datamodule = found = weights = error = None
    try:
        datamodule = instantiate_data(experiment.data)
        dataset, category = datamodule.name, datamodule.category or ""
        if getattr(datamodule, "takes_run_seed", False):
            datamodule.seed = experiment.seed
        datamodule.setup()
        found = fingerprint(datamodule)
        _check_counts(dataset, found.counts)
        weights = find_weights(experiment)
    except Exception as caught:
        error = caught
    key = experiment.key(
        weights_sha256=weights["sha256"] if weights else None, data_sha256=found.sha256 if found else None
    )
    return Prepared(experiment, dataset, category, key, datamodule, found, weights, error)


def _check_counts(dataset: str, counts: dict[str, Any]) -> None:
    """There is something to train on and something to test."""
    n_test = counts["n_test_normal"] + counts["n_test_anomalous"]
    for n, split in ((counts["n_train"], "training"), (n_test, "test")):
        if not n:
            msg = f"data set {dataset!r} has no {split} pictures; check its folders and how it is split"
            raise ValueError(msg)


def named(experiment: Experiment) -> tuple[str, str]:
    """Data set and category as the configuration names them, for what could not be instantiated."""
    arguments = experiment.data.get("init_args") or {}
    default = str(experiment.data["class_path"]).rsplit(".", 1)[-1]
    return str(arguments.get("name") or default), str(arguments.get("category") or "")


def find_weights(experiment: Experiment) -> dict[str, str] | None:
    """sha256 and source of the backbone weights that the model will load, None when it loads none."""
    from extensions.backbones import WeightsError, resolve_weights

    arguments = experiment.model.get("init_args") or {}
    if not experiment.backbone or arguments.get("pre_trained") is False:
        return None
    try:
        resolved = resolve_weights(experiment.backbone, arguments.get("weights"))
    except (ValueError, WeightsError):
        if "weights" in constructor_defaults(experiment.model["class_path"], "model"):
            raise
        return None  # a model of anomalib's that brings its own, such as U-Flow
    return {"sha256": resolved.sha256, "source": resolved.source}


def run_experiment(
    experiment: Experiment, output: Path, *, options: RunOptions | None = None, error: Exception | None = None
) -> dict[str, Any] | None:
    """Run one experiment unless its record is there, and return the record.

    A failure is a record too. Returns None when another process is at work on the same experiment.

    Args:
        experiment: What to run.
        output: Folder of records.
        options: How it is carried out.
        error: Why it cannot be run, known from outside: recorded as its failure, and nothing is run.

    Raises:
        DiskFullError: There is no room for its files; no record is left.
    """
    from extensions.data.decoded import decoded_pictures

    with decoded_pictures.keeping(DECODED_BYTES):
        return _run(experiment, Store(output), options or RunOptions(), error=error)


def _run(
    experiment: Experiment, store: Store, options: RunOptions, *, error: Exception | None
) -> dict[str, Any] | None:
    prepared = prepare(experiment)
    if error is not None:
        prepared = replace(prepared, error=error)
    folder = prepared.folder(store)
    with store.lock(prepared.key, wait=False) as mine:
        if not mine:
            return None
        there = store.read(folder)
        if there is not None and not is_due(there, options.overwrite):
            return there
        with store.workspace() as workspace:
            record = _carry_out(prepared, workspace, options)
            store.commit(workspace, folder, record)
    return record


def is_due(record: dict[str, Any] | None, overwrite: str) -> bool:
    """Whether an experiment with this record is run again; what was missing on disk is always looked for again."""
    if record is None or overwrite == "all" or record["status"] == "missing":
        return True
    return overwrite == "failed" and record["status"] == "failed"


def _carry_out(prepared: Prepared, workspace: Path, options: RunOptions) -> dict[str, Any]:
    from benchmark.machine import environment

    started = datetime.now(UTC)
    clock = time.perf_counter()
    record = _identity(prepared) | {"sweep": options.sweep, "started": started.isoformat(timespec="seconds")}
    try:
        if prepared.error is not None:
            raise prepared.error
        with room_for(workspace):
            measured = _measure_refined if prepared.experiment.refinement is not None else _measure_once
            record |= {"status": "finished", "error": None} | measured(prepared, workspace, options)
    except DiskFullError:
        raise  # no failure of this run: the same command must run it again
    except Exception as error:
        logger.debug("run failed", exc_info=True)
        for leftover in (workspace / SCORES, workspace / CHECKPOINT):
            leftover.unlink(missing_ok=True)
        record |= {"status": _status(error), "error": _describe(error), "metrics": {}}
    return record | {"environment": dict(environment()), "seconds": time.perf_counter() - clock}


def failed_record(experiment: Experiment, error: Exception) -> dict[str, Any]:
    """What a record would say of a run that could not even be recorded; it is not on disk."""
    dataset, category = named(experiment)
    prepared = Prepared(experiment, dataset, category, key="", error=error)
    return _identity(prepared) | {"status": "failed", "error": _describe(error), "metrics": {}}


def _identity(prepared: Prepared) -> dict[str, Any]:
    experiment = prepared.experiment
    arguments = experiment.model.get("init_args") or {}
    counts = prepared.fingerprint.counts if prepared.fingerprint else {}
    return {
        "protocol_version": PROTOCOL_VERSION,
        "key": prepared.key,
        "experiment_id": experiment.experiment_id,
        "experiment": experiment.canonical,
        "model": experiment.model_name,
        "backbone": experiment.backbone,
        "layers": list(arguments.get("layers") or []),
        "settings": experiment.settings,
        "weights": prepared.weights,
        "dataset": {
            "name": prepared.dataset,
            "category": prepared.category,
            "synthetic": bool(getattr(prepared.datamodule, "synthetic", False)),
            "sha256": prepared.fingerprint.sha256 if prepared.fingerprint else None,
            "k_shot": getattr(prepared.datamodule, "k_shot", None),
            "contamination_ratio": getattr(prepared.datamodule, "contamination_ratio", 0.0),
            **_contamination(prepared),
            **counts,
        },
    }


def _contamination(prepared: Prepared) -> dict[str, Any]:
    """What was realised of a contaminated training set; nothing for other data, and where its set-up failed."""
    found = getattr(prepared.datamodule, "contamination", None) if prepared.fingerprint else None
    return {"contamination": found} if found else {}


def _measure_once(prepared: Prepared, workspace: Path, options: RunOptions) -> dict[str, Any]:
    return _measure(prepared, workspace, options)[0]


def _measure_refined(prepared: Prepared, workspace: Path, options: RunOptions) -> dict[str, Any]:
    from benchmark.refined import measure_refined

    if options.n_threads is not None:
        import torch

        torch.set_num_threads(options.n_threads)
    return measure_refined(prepared, workspace, lambda part: _measure(part, workspace, options), page=options.page)


def _measure(prepared: Prepared, workspace: Path, options: RunOptions) -> tuple[dict[str, Any], AnomalibModule]:
    """Fit, test, measure; files go to the workspace, facts and the model are returned."""
    import torch
    from lightning import seed_everything

    from benchmark.evaluation import ScoreCollector, set_thresholds, test_samples
    from benchmark.latency import measure_latency
    from benchmark.memory import PeakMemory, model_bytes
    from benchmark.training import device_of, fit, make_engine, quiet, test_once, validates
    from extensions.cache import open_cache
    from extensions.cache.reuse import SPLITS, Reuse
    from extensions.configuration import instantiate_model
    from extensions.data.decoded import decoded_pictures
    from extensions.data.fingerprints import picture_names

    if options.n_threads is not None:
        torch.set_num_threads(options.n_threads)
    experiment, datamodule, found = prepared.experiment, prepared.datamodule, prepared.fingerprint
    assert datamodule is not None
    assert found is not None
    rows = test_samples(datamodule.test_data.samples, found.files, picture_names(datamodule))
    collector = ScoreCollector(rows, with_masks=bool(found.counts["n_masks"]), n_pictures=options.pictures)
    with quiet(), PeakMemory() as memory:
        seed_everything(experiment.seed, workers=True, verbose=False)
        model: AnomalibModule = instantiate_model(experiment.model)
        wanted = dict(options.layers).get(backbone_id(experiment), ())
        validation = validates(model, datamodule)
        splits = (*SPLITS, "val") if validation else SPLITS
        reuse = Reuse(
            open_cache(), datamodule, model, layers=wanted, device=device_of(experiment.trainer), splits=splits
        )
        engine = make_engine(
            model,
            experiment.trainer,
            workspace.with_name("engine"),
            callbacks=[collector, reuse.callback],
            progress=options.progress,
            validation=validation,
        )
        prepare_seconds = {name: _timed(reuse.prepare, name) for name in splits}
        decoded_pictures.forget()
        with reuse.serving():
            fit_seconds, training = fit(engine, model, datamodule)
            test_seconds = test_once(engine, model, datamodule)
            evaluation = collector.finish()
            set_thresholds(model, evaluation)
            latency = measure_latency(model, reuse.picture())
    write_text(workspace / SCORES, evaluation.scores.to_csv(index=False))
    if options.keep_checkpoint:
        with room_for(workspace / CHECKPOINT, model_bytes(model.model)):
            engine.trainer.save_checkpoint(workspace / CHECKPOINT, weights_only=False)
    pictures = collector.pictures.draw(
        workspace, threshold=evaluation.thresholds["image"], map_range=evaluation.ranges.get("pixel", (0.0, 1.0))
    )
    facts = {
        "layers": list(getattr(model, "layers", []) or []),
        "dataset": _identity(prepared)["dataset"] | {"image_size": list(evaluation.image_size)},
        "metrics": evaluation.metrics,
        "thresholds": evaluation.thresholds,
        "training": asdict(training),
        "speed": {
            "fit_seconds": fit_seconds + prepare_seconds["train"] + prepare_seconds.get("val", 0.0),
            "test_seconds": test_seconds + prepare_seconds["test"],
            **asdict(latency),
        },
        "reused": reuse.report(),
        "memory": {"peak_memory_bytes": memory.peak_bytes, "model_bytes": model_bytes(model.model)},
        "files": {
            "scores": SCORES,
            "checkpoint": CHECKPOINT if options.keep_checkpoint else None,
            "pictures": pictures,
        },
    }
    return facts, model


def backbone_id(experiment: Experiment) -> str:
    """What runs share whose frozen backbones see the same pictures: backbone, weights and sizes."""
    arguments = experiment.model.get("init_args") or {}
    shared = {name: arguments.get(name) for name in ("weights", "image_size", "center_crop")}
    return json.dumps([experiment.backbone, shared, experiment.data], sort_keys=True, default=str)


def _timed(work: Callable[[str], None], argument: str) -> float:
    started = time.perf_counter()
    work(argument)
    return time.perf_counter() - started


def _status(error: Exception) -> str:
    from extensions.data import DatasetMissingError

    return "missing" if isinstance(error, DatasetMissingError) else "failed"


def _describe(error: Exception) -> dict[str, str]:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return {
        "type": type(error).__name__,
        "message": " ".join(lines) or type(error).__name__,
        "traceback": "".join(traceback.format_exception(error)),
    }
