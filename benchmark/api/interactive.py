"""One run at a time, filed like those of a sweep: for notebooks and for `train --record`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api.output_tables import DEFAULT_OUTPUT, write_tables
from benchmark.api.run_object import Run, RunError
from benchmark.log import Sink, open_sinks, send
from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.plan.augmentation import without_augmentation
from benchmark.plan.experiment import Experiment
from benchmark.plan.validation import check_fitted_on, requirement_of
from extensions.configuration import ConfigError, spec_of
from extensions.configuration.python_numbers import python_numbers
from extensions.data.datamodules.stock import set_up_as

if TYPE_CHECKING:
    import pandas as pd
    from anomalib.data import AnomalibDataModule
    from anomalib.models import AnomalibModule
    from matplotlib.figure import Figure

_NOT_RUN = ("evaluator", "visualizer")  # of a model: the benchmark puts its own metrics and drawings in their place


def run(
    model: AnomalibModule | type | str | Mapping[str, Any],
    data: AnomalibDataModule | type | str | Mapping[str, Any],
    *,
    trainer: dict[str, Any] | None = None,
    seed: int = 0,
    refinement: dict[str, Any] | None = None,
    augmentation: Any = None,
    output: Path | str = DEFAULT_OUTPUT,
    images: int = 0,
    log: Any = None,
    requirement: Mapping[str, Any] | None = None,
) -> Run:
    """Run one experiment, unless its record is there, write the tables and return the run.

    Args:
        model: An object, its class, the class's name, or `class_path` and `init_args` as in a configuration. All of
            them describe what is built after the seed is set: an object is not trained itself, and one that was
            changed by hand is refused.
        data: The same for the datamodule.
        trainer: Trainer arguments; a gradient model needs `max_epochs`.
        seed: Seeds everything before the model is built.
        refinement: How training images are refined, see `extensions.refinement.Plan`; None trains on all of them.
        augmentation: How images are augmented, such as `{"name": "flip", "where": "tta"}`, see
            `extensions.transforms.AugmentationSettings`; None augments nothing.
        output: Folder of records and tables.
        images: How many best and worst images to draw beside the record, for the gallery of the HTML page.
        log: Loggers that get the finished run, such as `"tensorboard"` or `["mlflow", {"wandb": {"project": "caps"}}]`,
            see `benchmark.log.check_log`; none changes the record.
        requirement: What the thresholds keep, such as `{"max_false_alarms": 0.02}`, see
            `benchmark.statistics.requirement.Requirement`; None takes those of the highest F1.

    Raises:
        ConfigError: The model or the data cannot be described, a logger is not installed, or the requirement cannot be.
        RunError: The run failed; its record holds the traceback.

    Example:
        >>> found = run(Patchcore("resnet18"), Elpv(n_train=100), seed=1)
        >>> found.metrics["image_AUROC"]
        >>> found.show()
    """
    experiment = experiment_of(
        model, data, trainer=trainer or {}, seed=seed, refinement=refinement, augmentation=augmentation
    )
    asked = requirement_of({"requirement": python_numbers(requirement)})
    check_fitted_on(asked, [experiment])
    options = RunOptions(sweep="single runs", overwrite="failed", images=images, requirement=asked)
    return _run(experiment, Path(output), options, sinks=open_sinks(log))


def experiment_of(model: Any, data: Any, *, check: bool = True, **rest: Any) -> Experiment:
    """The experiment that a model and a datamodule, however they are given, stand for.

    Args:
        model: As in `run`.
        data: As in `run`.
        check: Whether the model is held against what its arguments give.
        rest: Other arguments of `Experiment`.

    Raises:
        ConfigError: As in `run`.
    """
    rest = python_numbers(rest)
    try:
        json.dumps(rest.get("trainer"))
    except TypeError as error:
        msg = f"trainer: found an object ({error}), expected numbers, texts, or entries with class_path and init_args"
        raise ConfigError(msg) from error
    described = spec_of(model, "model", check=check)
    for name in _NOT_RUN:
        described["init_args"].pop(name, None)
    return Experiment(model=described, data=spec_of(data, "data", set_up_as=set_up_as), **rest)


def _run(experiment: Experiment, output: Path, options: RunOptions, *, sinks: Sequence[Sink]) -> Run:
    record = run_experiment(experiment, output, options=options)
    if record is None:
        msg = f"{output}: another process is running this very experiment"
        raise RunError(msg)
    write_tables(output)
    if record.error is not None:
        raise RunError(record.error.message)
    send(record, sinks=sinks, output=output)
    return Run(record, output, experiment)


def record_run(config: dict[str, Any], output: Path, *, log: Any = None) -> Run:
    """Run a configuration of the command line and file its record; return the run.

    Args:
        config: Keys of anomalib's command line: model, data, trainer, seed_everything.
        output: Folder of records and tables.
        log: As in `run`.

    Raises:
        RunError: The run failed; its record holds the traceback.
    """
    seed = config.get("seed_everything")
    seed = seed if isinstance(seed, int) and not isinstance(seed, bool) else 0
    trainer, augmentation = without_augmentation(config.get("trainer") or {})
    return run(
        config["model"], config["data"], trainer=trainer, seed=seed, augmentation=augmentation, output=output, log=log
    )


@dataclass(frozen=True, repr=False)
class Refined(Run):
    """A run that refined its training images; metrics and files are those of its last round.

    Attributes:
        rounds: `rounds.csv`, a row per round.
        suspects: `suspects.csv`, a row per training image, the most suspicious first.
    """

    rounds: pd.DataFrame
    suspects: pd.DataFrame

    @property
    def paths(self) -> dict[str, Path]:
        """The file of each training image, by the name it has in `suspects`."""
        from extensions.refinement.loop import training_names

        datamodule = self.prepared.datamodule
        assert datamodule is not None
        files = map(Path, datamodule.train_data.samples["image_path"])
        return dict(zip(training_names(datamodule), files, strict=True))

    def show_suspects(self, n: int = 8) -> Figure:
        """Draw the most suspicious training images.

        Args:
            n: Images at most.
        """
        from benchmark.api.figures import draw_suspects

        return draw_suspects(self.suspects.head(n), self.paths)


def refine(
    model: AnomalibModule | type | str | Mapping[str, Any],
    data: AnomalibDataModule | type | str | Mapping[str, Any],
    refinement: dict[str, Any],
    *,
    trainer: dict[str, Any] | None = None,
    seed: int = 0,
    output: Path | str = DEFAULT_OUTPUT,
) -> Refined:
    """Refine the training images of a data set for a detector, unless the record is there.

    Args:
        model: The detector, as in `run`.
        data: As in `run`.
        refinement: Arguments of `extensions.refinement.Plan`, such as `{"strategy": "consensus"}`.
        trainer: As in `run`.
        seed: As in `run`.
        output: As in `run`.

    Raises:
        ConfigError: As in `run`.
        RunError: As in `run`.

    Example:
        >>> found = refine(model, data, {"strategy": "consensus", "rule": "mad"})
        >>> found.suspects.head()
    """
    import pandas as pd

    from benchmark.one_run.refinement_run import ROUNDS, SUSPECTS

    found = run(model, data, trainer=trainer, seed=seed, refinement=refinement, output=output)
    if not (found.folder / SUSPECTS).is_file():
        msg = f"{output}: run {found.key} is packed there, without its suspects; give another output folder"
        raise RunError(msg)
    return Refined(
        found.record,
        found.output,
        found._experiment,
        rounds=pd.read_csv(found.folder / ROUNDS),
        suspects=pd.read_csv(found.folder / SUSPECTS, dtype={"removed_in_round": "Int64"}),
    )
