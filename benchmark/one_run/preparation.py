"""An experiment whose data and weights were looked for, and what its record says of them."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.plan.experiment import MEMBERS, Experiment, constructor_defaults
from benchmark.plan.local_paths import write_local
from benchmark.records.canonical_experiment import CanonicalExperiment
from benchmark.records.record import PROTOCOL_VERSION, Record
from benchmark.records.record_sections import Dataset, Weights
from benchmark.records.run_files import CHECKPOINT, run_folder
from extensions.data.groups import GROUP
from extensions.data.joint_training import ALL, ONE_EACH, spans_products, tested_product, training_of

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule

    from extensions.data import Fingerprint

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """An experiment whose data and weights were found, or the error that says why not."""

    experiment: Experiment
    dataset: str
    category: str
    key: str
    datamodule: AnomalibDataModule | None = None
    fingerprint: Fingerprint | None = None
    weights: Weights | None = None
    error: Exception | None = None
    data_root: Path | None = None

    @property
    def resolved(self) -> Experiment:
        """The experiment with its model as it is built for this category and seed."""
        return _resolved(self.experiment, self.category)

    @property
    def folder(self) -> Path:
        """Where the record belongs, relative to the output folder."""
        return run_folder(
            dataset=self.dataset,
            category=self.category,
            model=self.experiment.model_name,
            backbone=self.experiment.backbone,
            key=self.key,
        )


def _resolved(experiment: Experiment, category: str) -> Experiment:
    return replace(experiment, model=experiment.model_for(category=category, seed=experiment.seed))


def prepare(experiment: Experiment, data_root: Path | None = None) -> Prepared:
    """Find and check data and weights and compute the key; an error becomes part of the answer, not an exception.

    Args:
        experiment: To be run.
        data_root: Where relative data roots start; None for `$WORKBENCH_DATA`, else the working directory.
    """
    from extensions.configuration import instantiate_data
    from extensions.data import fingerprint
    from extensions.data.datamodules.stock import set_up
    from extensions.runtime.explained import step

    dataset, category = named(experiment)
    datamodule = found = weights = error = None
    try:
        with step("finding the data"):
            datamodule = instantiate_data(experiment.data, data_root)
        dataset, category = datamodule.name, datamodule.category or ""
        with step("setting up the data"):
            set_up(datamodule, seed=experiment.seed)
        with step("hashing the data"):
            found = fingerprint(datamodule)
        _check_counts(dataset, found.counts)
        weights = find_weights(_resolved(experiment, category))
    except Exception as caught:
        error = caught
    key = experiment.key(
        weights_sha256=weights.sha256 if weights else None, data_sha256=found.sha256 if found else None
    )
    return Prepared(experiment, dataset, category, key, datamodule, found, weights, error, data_root)


def _check_counts(dataset: str, counts: dict[str, Any]) -> None:
    """There is something to train on and something to test."""
    n_test = counts["n_test_normal"] + counts["n_test_anomalous"]
    for n, split in ((counts["n_train"], "training"), (n_test, "test")):
        if not n:
            msg = f"data set {dataset!r} has no {split} images; check its folders and how it is split"
            raise ValueError(msg)


def named(experiment: Experiment) -> tuple[str, str]:
    """Data set and category as the configuration names them, for what could not be instantiated."""
    arguments = experiment.data.get("init_args") or {}
    default = str(experiment.data["class_path"]).rsplit(".", 1)[-1]
    category = tested_product(arguments) or arguments.get("category") or (ALL if spans_products(arguments) else "")
    return str(arguments.get("name") or default), category if isinstance(category, str) else "+".join(category)


def find_weights(experiment: Experiment) -> Weights | None:
    """sha256 and source of what the model will load: backbone weights, autoencoder or registration; None for neither.

    Args:
        experiment: Without placeholders.
    """
    from extensions.backbones import WeightsError, resolve_weights

    arguments = experiment.model.get("init_args") or {}
    if isinstance(arguments.get(MEMBERS), list):
        return _members_weights(arguments[MEMBERS])
    if arguments.get("autoencoder_checkpoint"):
        path = Path(arguments["autoencoder_checkpoint"])
        with path.open("rb") as file:
            return Weights(sha256=hashlib.file_digest(file, "sha256").hexdigest(), source=path.name)
    if not experiment.backbone or arguments.get("pre_trained") is False:
        return None
    try:
        resolved = resolve_weights(experiment.backbone, arguments.get("registration") or arguments.get("weights"))
    except (ValueError, WeightsError):
        if "weights" in constructor_defaults(experiment.model["class_path"], "model"):
            raise
        return None  # a model of anomalib's that brings its own, such as U-Flow
    return Weights(sha256=resolved.sha256, source=resolved.source)


def _members_weights(members: list[Any]) -> Weights | None:
    """Of an ensemble: one hash over what its members load, a kept run's whole checkpoint among it."""
    found: list[Weights | None] = []
    for member in members:
        if isinstance(member, dict):
            found.append(find_weights(Experiment(model=member, data={})))
            continue
        path = Path(member).expanduser()
        file = path / CHECKPOINT if path.is_dir() else path
        with file.open("rb") as content:
            found.append(Weights(sha256=hashlib.file_digest(content, "sha256").hexdigest(), source=path.name))
    told = json.dumps([one.sha256 if one is not None else None for one in found])
    sources = [one.source for one in found if one is not None and one.source]
    if not any(found):
        return None
    return Weights(sha256=hashlib.sha256(told.encode()).hexdigest(), source=" + ".join(dict.fromkeys(sources)))


def backbone_id(experiment: Experiment) -> str:
    """What runs share whose frozen backbones see the same images: backbone, weights and sizes."""
    arguments = experiment.model.get("init_args") or {}
    shared = {name: arguments.get(name) for name in ("weights", "image_size", "center_crop")}
    return json.dumps([experiment.backbone, shared, experiment.data], sort_keys=True, default=str)


def record_header(prepared: Prepared, *, sweep: str = "", started: str = "") -> Record:
    """What a record says before anything was run; its status is that of a run that never ended.

    `started` is an ISO date and time.
    """
    experiment, datamodule, found = prepared.experiment, prepared.datamodule, prepared.fingerprint
    dataset: dict[str, Any] = {
        "name": prepared.dataset,
        "category": prepared.category,
        "synthetic": bool(getattr(datamodule, "synthetic", False)),
        "sha256": found.sha256 if found else None,
        "k_shot": getattr(datamodule, "k_shot", None),
        "contamination_ratio": getattr(datamodule, "contamination_ratio", 0.0),
        "training": training_of(experiment.data.get("init_args") or {}),
    }
    if found:  # what was drawn, where there was anything to draw from
        drawn = {name: getattr(datamodule, name, None) for name in ("k_shot_images", "contamination")}
        drawn |= {"products": getattr(datamodule, "product_names", None)}
        drawn |= {"part_score": getattr(datamodule, "part_score", None) if GROUP in found.files else None}
        dataset |= {"training": getattr(datamodule, "training", ONE_EACH)}
        dataset |= {name: value for name, value in drawn.items() if value} | found.counts
    return Record(
        protocol_version=PROTOCOL_VERSION,
        key=prepared.key,
        experiment_id=experiment.experiment_id,
        experiment=CanonicalExperiment.model_validate(experiment.canonical),
        model=experiment.model_name,
        backbone=experiment.backbone,
        layers=list((experiment.model.get("init_args") or {}).get("layers") or []),
        settings=experiment.settings,
        weights=prepared.weights,
        dataset=Dataset.model_validate(dataset),
        sweep=sweep,
        started=started,
        status="failed",
        folder=prepared.folder,
    )


def keep_place(prepared: Prepared, folder: Path) -> None:
    """Keep where the data of a run were found, if they were, for whoever exports its model; never costs the run."""
    if prepared.fingerprint is None:
        return
    try:
        write_local(folder, prepared.experiment, prepared.data_root)
    except OSError as error:
        logger.warning("%s: where the data lie could not be kept: %s", folder, error)
