"""One fit, one test, and what they measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.one_run.options import RunOptions
from benchmark.one_run.preparation import Prepared, backbone_id
from benchmark.records.record import Record
from benchmark.records.record_sections import Memory, Reused, Training
from benchmark.records.run_files import CHECKPOINT
from extensions.runtime.disk import room_for

if TYPE_CHECKING:
    import torch
    from anomalib.data import AnomalibDataModule
    from anomalib.engine import Engine
    from anomalib.models import AnomalibModule

    from benchmark.one_run.evaluation import Evaluation, ScoreCollector
    from benchmark.one_run.kept_maps import MapCollector
    from benchmark.one_run.shared_fit import Fitted
    from benchmark.records.record_sections import Panel, Speed
    from extensions.models.common.cached_run import CachedRun


def measure(record: Record, prepared: Prepared, workspace: Path, options: RunOptions) -> tuple[Record, AnomalibModule]:
    """Fit, test, measure; files go to the workspace, the record with what was found and the model are returned."""
    from lightning import seed_everything

    from benchmark.one_run.evaluation import set_thresholds, write_evaluation
    from benchmark.one_run.images_lie import how_images_lie
    from benchmark.one_run.kept_maps import keep_maps, map_collector
    from benchmark.one_run.memory import PeakMemory, model_bytes
    from benchmark.one_run.shared_fit import Tested, last_fit, test_id
    from benchmark.one_run.threshold_scores import calibration_scores, check_calibration, cross_conformal_scores
    from benchmark.one_run.training import attach, device_of, make_engine, validates
    from benchmark.plan.augmentation import augmenting_callbacks
    from extensions.data.reading.decoded import decoded_images
    from extensions.models.common.cached_run import SPLITS
    from extensions.runtime.explained import step
    from extensions.runtime.freed_memory import give_back_memory
    from extensions.runtime.lightning_runs import quiet

    experiment, datamodule = prepared.experiment, prepared.datamodule
    assert datamodule is not None
    augmentations = experiment.augmentations
    in_test = any(one.in_test for one in augmentations)
    with quiet():
        maps = map_collector(prepared, options)
        check_calibration(prepared, options)
        calibration = cross_conformal_scores(prepared, workspace, options)
    known = last_fit.take(prepared, options.shared_fits)
    tested = known.tested_by(experiment) if known and not in_test and maps is None else None
    collector = tested or _collector(prepared, options, maps)
    device = device_of(experiment.trainer)
    with quiet(), PeakMemory(device) as memory:
        seed_everything(experiment.seed, workers=True, verbose=False)
        model = _ready_model(prepared, known)
        with step("looking at how the images lie"):
            lies = how_images_lie(model, datamodule)
        record = record.model_copy(update={"dataset": record.dataset.model_copy(update=lies)})
        validation = known is None and validates(model, datamodule)
        splits = ("test",) if known else (*SPLITS, "val") if validation else SPLITS
        with step("preparing the backbone"):
            cached = _cached_run(prepared, model, options, device=device, splits=splits)
        engine = make_engine(
            model,
            experiment.trainer,
            workspace.with_name("engine"),
            callbacks=[collector, *cached.callbacks, *augmenting_callbacks(augmentations, experiment.seed)],
            progress=options.progress,
            validation=validation,
        )
        with step("computing features"):
            prepare_seconds = {name: _timed(cached.prepare, name) for name in splits}
        decoded_images.forget()
        give_back_memory()  # of decoding, converting and the network's own work
        if known and tested:
            attach(engine, model)
            test_seconds = known.tested.seconds if known.tested else 0.0
        else:
            known, test_seconds = _fit_and_test(engine, model, cached, known)
            if not in_test:
                known = replace(known, tested=Tested(test_id(experiment), collector, test_seconds))
        if calibration is None:
            calibration = calibration_scores(model, prepared, workspace, options)
        with step("computing metrics"):
            evaluation = collector.finish(
                getattr(model, "label_free_threshold", None),
                requirement=options.requirement,
                calibration=calibration,
                part_score=getattr(datamodule, "part_score", None),
            )
        set_thresholds(model, evaluation)
        image, left_to_do = cached.network_input()
        latency = _latency(model, image, left_to_do, prepared, options, device)
    known = replace(known, peak_bytes=max(known.peak_bytes, memory.peak_bytes))
    last_fit.keep(prepared, options.shared_fits, known)
    with step("writing the scores"):
        files = write_evaluation(evaluation, workspace, calibration=calibration)
    keep_maps(maps, evaluation.scores["image"].tolist(), workspace)
    with step("keeping the network"):
        kept = _keep_weights(engine, model, workspace, options, image, in_test=in_test)
    images = _drawn_images(collector, evaluation, workspace, datamodule)
    speed = {
        "fit_seconds": known.whole_seconds,
        "fit_own_seconds": known.seconds,
        "fit_reused_seconds": known.reused_seconds,
        "test_seconds": test_seconds + prepare_seconds["test"],
    }
    found_out = {
        "speed": latency.model_copy(update=speed),
        "reused": Reused.model_validate(({"train": known.reused} if known.reused else {}) | cached.report()),
        "memory": Memory(peak_memory_bytes=known.peak_bytes, model_bytes=model_bytes(model.model)),
        "files": files.model_copy(update={"checkpoint": kept, "images": images}),
    }
    return finished(record, model, evaluation, known.training).model_copy(update=found_out), model


def _cached_run(
    prepared: Prepared, model: AnomalibModule, options: RunOptions, *, device: str, splits: tuple[str, ...]
) -> CachedRun:
    from benchmark.plan.augmentation import augmented_splits
    from extensions.cache import open_cache
    from extensions.models.common.cached_run import CachedRun

    experiment, datamodule = prepared.experiment, prepared.datamodule
    assert datamodule is not None
    return CachedRun(
        open_cache(),
        datamodule,
        model,
        layers=dict(options.layers).get(backbone_id(experiment), ()),
        device=device,
        splits=splits,
        augmented=augmented_splits(experiment.augmentations),
    )


def _collector(prepared: Prepared, options: RunOptions, maps: MapCollector | None) -> ScoreCollector:
    from benchmark.one_run.evaluation import ScoreCollector, test_samples
    from benchmark.one_run.shared_fit import poolings_of
    from extensions.data.checks.fingerprints import image_names
    from extensions.data.imaging import imaging_of

    experiment, datamodule, found = prepared.experiment, prepared.datamodule, prepared.fingerprint
    assert datamodule is not None
    assert found is not None
    # Panels show the images as they are: maps of augmented ones would not lie on them.
    n_images = 0 if any(one.where in ("test", "both") for one in experiment.augmentations) else options.images
    # The score of tiles is not in the whole map.
    poolings = {} if imaging_of(datamodule).tiling else poolings_of(experiment, options.poolings)
    return ScoreCollector(
        test_samples(datamodule.test_data.samples, found.files, image_names(datamodule)),
        with_masks=bool(found.counts["n_masks"]),
        n_images=n_images,
        kept=maps,
        poolings=poolings,
    )


def _ready_model(prepared: Prepared, known: Fitted | None) -> AnomalibModule:
    """The detector of the run, known or built, checked against its data."""
    from benchmark.one_run.shared_fit import score_pooling
    from extensions.backbones.stock_weights import stock_weights
    from extensions.configuration import instantiate_model
    from extensions.models.common.imaging_mixin import take_imaging
    from extensions.models.common.known_defects import check_known_defects
    from extensions.models.common.limits import check_has_network, check_image_size, check_n_train
    from extensions.runtime.downloads import fetching
    from extensions.runtime.explained import step

    with step("building the model"), fetching(), stock_weights():
        model: AnomalibModule = known.model if known else instantiate_model(prepared.resolved.model)
    if known and hasattr(model, "set_score_pooling"):
        model.set_score_pooling(score_pooling(prepared.experiment), thresholds_follow=True)
    datamodule = prepared.datamodule
    assert datamodule is not None
    check_has_network(model)
    check_image_size(model)
    check_known_defects(model, datamodule)
    take_imaging(model, datamodule, is_training=known is None)
    check_n_train(model, len(datamodule.train_data))
    return model


def _latency(
    model: AnomalibModule, image: torch.Tensor, left_to_do: Any, prepared: Prepared, options: RunOptions, device: str
) -> Speed:
    """Latency of one image, and which network it is of; few repeats where it is timed again later."""
    from benchmark.one_run.kept_networks import network_id
    from benchmark.one_run.latency import measure_latency, moved_to
    from extensions.runtime.explained import step

    n_views = next((one.n_views for one in prepared.experiment.augmentations if one.where == "tta"), 1)
    few: dict[str, Any] = {"warm_up": 1, "repeats": 3} if options.timed_later else {}
    with step("measuring latency"), moved_to(device, model):  # Lightning has taken it to the CPU
        latency = measure_latency(model, image, transform=left_to_do, n_views=n_views, **few)
        return latency.model_copy(update={"network": network_id(prepared.experiment, model, image, n_views=n_views)})


def _keep_weights(
    engine: Engine, model: AnomalibModule, workspace: Path, options: RunOptions, image: torch.Tensor, *, in_test: bool
) -> str | None:
    """The checkpoint's name where one is kept; else what a later measurement of latency needs."""
    from benchmark.one_run.kept_networks import keep_for_timing, keep_image
    from benchmark.one_run.memory import model_bytes

    # The thresholds of augmented scores are not those of the model alone, which is all that a checkpoint holds.
    if options.keep_checkpoint and not in_test:
        with room_for(workspace / CHECKPOINT, model_bytes(model.model)):
            engine.trainer.save_checkpoint(workspace / CHECKPOINT, weights_only=False)
            keep_image(workspace, image)
        return CHECKPOINT
    if options.timed_later:
        keep_for_timing(workspace, image, lambda path: engine.trainer.save_checkpoint(path, weights_only=True))
    return None


def _drawn_images(
    collector: ScoreCollector, evaluation: Evaluation, workspace: Path, datamodule: AnomalibDataModule
) -> list[Panel]:
    from benchmark.one_run.example_images import draw
    from extensions.data.imaging import imaging_of
    from extensions.runtime.explained import step

    kept = evaluation.thresholds
    chosen = collector.images.chosen(evaluation.medians, kept.image, kept.upper)
    with step("drawing images"):
        return draw(
            chosen, workspace, map_range=evaluation.ranges.get("pixel", (0.0, 1.0)), imaging=imaging_of(datamodule)
        )


def finished(record: Record, model: AnomalibModule, evaluation: Evaluation, training: Training) -> Record:
    """The record with what a fit and its test gave, whoever carried them out."""
    return record.model_copy(
        update={
            "layers": list(getattr(model, "layers", []) or []),
            "dataset": record.dataset.model_copy(update={"image_size": list(evaluation.image_size)}),
            "status": "finished",
            "error": None,
            "metrics": evaluation.metrics,
            "thresholds": evaluation.thresholds,
            "training": training,
        }
    )


def _fit_and_test(
    engine: Engine, model: AnomalibModule, cached: CachedRun, known: Fitted | None
) -> tuple[Fitted, float]:
    """The fitted model, fitted now unless it is known, and the seconds of its test.

    Images come from the cache, and so do features that the frozen backbone has computed before.
    """
    from benchmark.one_run.shared_fit import Fitted
    from benchmark.one_run.training import fit, test_once
    from extensions.runtime.downloads import fetching
    from extensions.runtime.explained import step
    from extensions.runtime.freed_memory import give_back_memory

    try:
        with cached.serving() as served:
            if known is None:
                with step("fit"), fetching():
                    fit_seconds, training = fit(engine, model, served)
                own, reused = cached.seconds("train", "val")
                reported = Reused.model_validate(cached.report())
                known = Fitted(model, training, fit_seconds + own, reported.train, reused)
                give_back_memory()
            else:
                engine._setup_trainer(model)
            with step("test"):
                return known, test_once(engine, model, served)
    finally:
        give_back_memory()


def _timed(work: Callable[[str], None], argument: str) -> float:
    started = time.perf_counter()
    work(argument)
    return time.perf_counter() - started
