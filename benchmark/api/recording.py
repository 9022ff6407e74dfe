"""A callback of anomalib's Engine that leaves the record which the benchmark would leave of the same run."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

from benchmark.api.output_tables import write_tables
from benchmark.api.run_object import Run
from benchmark.api.trainer_experiment import check_start, experiment_of_trainer, seed_in_effect
from benchmark.log import open_sinks, send
from benchmark.one_run.evaluation import (
    Evaluation,
    ScoreCollector,
    set_thresholds,
    test_samples,
    write_evaluation,
)
from benchmark.one_run.kept_networks import keep_image, network_id
from benchmark.one_run.latency import measure_latency
from benchmark.one_run.measurement import finished
from benchmark.one_run.memory import PeakMemory, model_bytes
from benchmark.one_run.preparation import Prepared, keep_place, prepare, record_header
from benchmark.one_run.training import LossCurve, summary, validates
from benchmark.records.record_sections import Memory, RecordedBy, Reused, Speed, Training
from benchmark.records.run_files import CHECKPOINT
from benchmark.records.store import Store
from extensions.configuration import ConfigError
from extensions.data import fingerprint
from extensions.data.checks.fingerprints import image_names
from extensions.runtime.disk import room_for
from extensions.runtime.float32 import scoring_in_float32
from extensions.runtime.seeding import random_state, restore_random_state

logger = logging.getLogger(__name__)

NAME = "extensions.Record"


class Record(Callback):
    """Leaves the record of a fit and its test, as `python -m benchmark` does: key, metrics, scores, checkpoint, tables.

    The metrics are the benchmark's, from raw scores of the one test pass. The fit starts where the benchmark starts
    it, and validation passes draw none of its random numbers, so that equal seeds give equal results. What differs is
    said in the record under `recorded_by`: the time of the fit is that of `Engine.fit` with its validation passes, and
    nothing is reused. What a record cannot hold is an error before the fit.

    Args:
        output: Folder of records and tables.
        seed: Of the run; None takes that of the last `lightning.seed_everything`, to be called right before the model
            is built.
        log: Loggers that get the record, too, as in `benchmark.run`.

    Attributes:
        run: The finished run, see `benchmark.Run`; None before the test has ended.

    Raises:
        ConfigError: At the start of the fit: no seed, a model that was changed by hand or trained before, an optimizer
            or callback that the record cannot hold, several devices, data loaders in place of a datamodule.

    Example:
        >>> seed_everything(0)
        >>> engine = Engine(callbacks=[Record("output/mine")])
        >>> engine.train(Patchcore("resnet18"), datamodule=Elpv())
    """

    def __init__(self, output: str | Path, *, seed: int | None = None, log: Any = None) -> None:
        self.output = Path(output)
        self._sinks = open_sinks(log)
        self.seed = seed
        self.run: Run | None = None
        self._prepared: Prepared | None = None
        self._training: Training | None = None
        self._curve = LossCurve()
        self._memory = PeakMemory()
        self._scoring = ExitStack()
        self._collector: ScoreCollector | None = None
        self._random_state: tuple[Any, ...] | None = None
        self._fitted = ""
        self._facts: dict[str, Any] = {}
        self._clock = 0.0

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Find out what will be run, and refuse what no record holds."""
        if stage == "fit":
            self.run = self._training = None
            experiment = experiment_of_trainer(trainer, pl_module, seed=seed_in_effect(self.seed))
            prepared = prepare(experiment)
            if prepared.error is not None:
                raise prepared.error
            _check_data(trainer.datamodule, prepared)
            check_start(pl_module, experiment)
            if getattr(trainer.datamodule, "calibration_data", None) is not None:
                msg = (
                    "Record: calibration_dir is given, whose images no test of an Engine scores; leave it out, or run "
                    "this by benchmark.run or `workbench train --record`"
                )
                raise ConfigError(msg)
            self._prepared, self._curve = prepared, LossCurve()
            self._facts = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "peak": 0}
            self._clock = time.perf_counter()
        elif stage == "test" and self._training is None:
            msg = (
                "Record: this test follows no fit of the same Engine, so there is nothing to record; call engine.train"
            )
            raise ConfigError(msg)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Watch the memory."""
        self._memory.device = str(pl_module.device)
        self._memory.__enter__()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Remember where the generators are, for a validation pass may follow."""
        self._random_state = random_state()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """A validation during the fit draws nothing: a memory bank is selected here."""
        self._restore(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Likewise for what follows."""
        self._restore(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep the loss."""
        self._curve.on_train_epoch_end(trainer, pl_module)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Sum up the training."""
        seconds = time.perf_counter() - self._clock
        self._stop_watching()
        if not validates(pl_module, trainer.datamodule):
            self._curve.val_losses = []  # of test images, which have no say in it
        self._training = summary(trainer, pl_module, self._curve)
        self._facts["fit_seconds"] = seconds
        self._fitted = _digest(pl_module)
        logger.info("Record: the record is written when the test has ended (engine.test, or engine.train for both)")

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """Take the scores from here on, in float32 as the benchmark does."""
        assert self._prepared is not None
        if _digest(pl_module) != self._fitted:
            msg = "Record: the model to be tested is not the one that was trained; test it without ckpt_path"
            raise ConfigError(msg)
        found = _check_data(trainer.datamodule, self._prepared)
        rows = test_samples(trainer.datamodule.test_data.samples, found.files, image_names(trainer.datamodule))
        self._collector = ScoreCollector(rows, with_masks=bool(found.counts["n_masks"]))
        self._memory.device = str(pl_module.device)
        self._memory.__enter__()
        self._scoring.enter_context(scoring_in_float32(trainer))
        self._facts["test_clock"] = time.perf_counter()

    def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        """Take raw scores and maps, before the model's post-processor changes them."""
        assert self._collector is not None
        self._collector.on_test_batch_end(trainer, pl_module, outputs)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Compute the metrics and write everything."""
        assert self._collector is not None
        assert self._prepared is not None
        seconds = time.perf_counter() - self._facts["test_clock"]
        self._stop_watching()
        evaluation = self._collector.finish(
            getattr(pl_module, "label_free_threshold", None),
            part_score=getattr(trainer.datamodule, "part_score", None),
        )
        self._collector = None
        image = trainer.datamodule.test_data[0].image
        fit_seconds = self._facts["fit_seconds"]
        speed = measure_latency(pl_module, image).model_copy(
            update={
                "fit_seconds": fit_seconds,
                "fit_own_seconds": fit_seconds,
                "fit_reused_seconds": 0.0,
                "test_seconds": seconds,
                "network": network_id(self._prepared.experiment, pl_module, image),
            }
        )
        self.run = self._write(trainer, pl_module, evaluation, speed, image)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave no thread behind."""
        self._stop_watching()

    def _restore(self, trainer: Any) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking and self._random_state is not None:
            restore_random_state(self._random_state)

    def _stop_watching(self) -> None:
        self._scoring.close()
        if self._memory.is_watching:
            self._memory.__exit__(None, None, None)
            self._facts["peak"] = max(self._facts.get("peak", 0), self._memory.peak_bytes)

    def _write(self, trainer: Any, model: Any, evaluation: Evaluation, speed: Speed, image: torch.Tensor) -> Run:
        from benchmark.one_run.machine import environment

        prepared, training = self._prepared, self._training
        assert prepared is not None
        assert training is not None
        keeps = not any(one.in_test for one in prepared.experiment.augmentations)
        store = Store(self.output)
        folder = store.output / prepared.folder
        header = record_header(prepared, sweep="single runs", started=self._facts["started"])
        record = finished(header, model, evaluation, training).model_copy(
            update={
                "speed": speed,
                "reused": Reused(),
                "memory": Memory(peak_memory_bytes=self._facts["peak"], model_bytes=model_bytes(model.model)),
                "recorded_by": RecordedBy(name=NAME, notes=_notes(model, evaluation)),
                "environment": dict(environment()),
                "seconds": time.perf_counter() - self._clock,
            }
        )
        with store.lock(prepared.key), store.workspace() as workspace:
            there = store.read(record.folder)
            if there is not None and there.is_finished and there.recorded_by is None:
                logger.warning("Record: %s holds the benchmark's own record of this run, which stays", folder)
                return Run(there, self.output, prepared.experiment)
            files = write_evaluation(evaluation, workspace)
            files = files.model_copy(update={"checkpoint": CHECKPOINT if keeps else None, "images": []})
            record = record.model_copy(update={"files": files})
            if keeps:
                with _with_thresholds(model, evaluation), room_for(workspace / CHECKPOINT, model_bytes(model.model)):
                    trainer.save_checkpoint(workspace / CHECKPOINT, weights_only=False)
                keep_image(workspace, image)
            keep_place(prepared, workspace)
            store.commit(workspace, record)
        write_tables(self.output)
        send(record, sinks=self._sinks, output=self.output)
        logger.info("Record: %s", folder)
        return Run(record, self.output, prepared.experiment)


def _check_data(datamodule: Any, prepared: Prepared) -> Any:
    """The fingerprint of the data in use.

    Raises:
        ConfigError: They are not what the arguments of the datamodule give.
    """
    found = fingerprint(datamodule)
    assert prepared.fingerprint is not None
    if found.sha256 != prepared.fingerprint.sha256:
        msg = (
            f"Record: the images of this {type(datamodule).__name__} are not those that its arguments and seed "
            f"{prepared.experiment.seed} give; build it anew, and give seed and k_shot_seed where it draws images"
        )
        raise ConfigError(msg)
    return found


def _digest(model: Any) -> str:
    """Of all that was learned."""
    digest = hashlib.sha256()
    for name, tensor in model.model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _notes(model: Any, evaluation: Evaluation) -> list[str]:
    notes = ["fit_seconds is the time of Engine.fit, validation passes included, with nothing reused"]
    own = getattr(model.post_processor, "image_threshold", None)
    if own is not None and evaluation.thresholds.image is not None:
        notes.append(f"the Engine's own image threshold, from its validation pass, was {float(own):.6g}")
    return notes


@contextmanager
def _with_thresholds(model: Any, evaluation: Evaluation) -> Iterator[None]:
    """The record's thresholds in the model while its checkpoint is written; the Engine's own afterwards."""
    post_processor = model.post_processor
    kept = {} if post_processor is None else {n: t.clone() for n, t in post_processor.state_dict().items()}
    set_thresholds(model, evaluation)
    try:
        yield
    finally:
        if post_processor is not None:
            post_processor.load_state_dict(kept)
