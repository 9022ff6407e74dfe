"""One run at a time, filed like those of a sweep: for notebooks and for `train --record`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.archive import load
from benchmark.augmentation_frames import augmentation_frame
from benchmark.augmented import without_augmentation
from benchmark.experiment import Experiment
from benchmark.leaderboard import frames
from benchmark.preparation import prepare
from benchmark.runner import RunOptions, run_experiment
from benchmark.store import RECORD, Store
from benchmark.tables import write_tables

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_OUTPUT = Path("output/notebook")


class RunError(RuntimeError):
    """A run failed or is at work elsewhere; its record, if any, holds the traceback."""


def run(
    model: dict[str, Any],
    data: dict[str, Any],
    *,
    trainer: dict[str, Any] | None = None,
    seed: int = 0,
    refinement: dict[str, Any] | None = None,
    augmentation: Any = None,
    output: Path = DEFAULT_OUTPUT,
    pictures: int = 0,
) -> dict[str, Any]:
    """Run one experiment, unless its record is there, write the tables and return the record.

    Args:
        model: `class_path` and `init_args`, as in a configuration.
        data: The same for the datamodule.
        trainer: Trainer arguments; a gradient model needs `max_epochs`.
        seed: Seeds everything before the model is built.
        refinement: How training pictures are refined, see `extensions.refinement.Plan`; None trains on all of them.
        augmentation: How pictures are augmented, such as `{"name": "flip", "where": "tta"}`, see
            `extensions.transforms.AugmentationSettings`; None augments nothing.
        output: Folder of records and tables.
        pictures: How many best and worst pictures to draw.

    Raises:
        RunError: The run failed; its record holds the traceback.

    Example:
        >>> record = run({"class_path": "extensions.Padim"}, {"class_path": "extensions.Elpv"})
        >>> record["metrics"]["image_AUROC"]
    """
    experiment = Experiment(
        model=model, data=data, trainer=trainer or {}, seed=seed, refinement=refinement, augmentation=augmentation
    )
    record = run_experiment(
        experiment, Path(output), options=RunOptions(sweep="single runs", overwrite="failed", pictures=pictures)
    )
    if record is None:
        msg = f"{output}: another process is running this very experiment"
        raise RunError(msg)
    write_tables(Path(output))
    if record["status"] != "finished":
        raise RunError(record["error"]["message"])
    return record


def record_run(config: dict[str, Any], output: Path) -> Path:
    """Run a configuration of the command line and file its record; return the record's path.

    Args:
        config: Keys of anomalib's command line: model, data, trainer, seed_everything.
        output: Folder of records and tables.

    Raises:
        RunError: The run failed; its record holds the traceback.
    """
    seed = config.get("seed_everything")
    seed = seed if isinstance(seed, int) and not isinstance(seed, bool) else 0
    trainer, augmentation = without_augmentation(config.get("trainer") or {})
    run(config["model"], config["data"], trainer=trainer, seed=seed, augmentation=augmentation, output=output)
    experiment = Experiment(
        model=config["model"], data=config["data"], trainer=trainer, seed=seed, augmentation=augmentation
    )
    return prepare(experiment).folder(Store(output)) / RECORD


@dataclass(frozen=True)
class Refined:
    """What a refinement left.

    Attributes:
        record: Its record; metrics and files are those of the last round.
        rounds: `rounds.csv`, a row per round.
        suspects: `suspects.csv`, a row per training picture, the most suspicious first.
        paths: The file of each training picture, by the name it has there.
    """

    record: dict[str, Any]
    rounds: pd.DataFrame
    suspects: pd.DataFrame
    paths: dict[str, Path]


def refine(
    model: dict[str, Any],
    data: dict[str, Any],
    refinement: dict[str, Any],
    *,
    trainer: dict[str, Any] | None = None,
    seed: int = 0,
    output: Path = DEFAULT_OUTPUT,
) -> Refined:
    """Refine the training pictures of a data set for a detector, unless the record is there.

    Args:
        model: `class_path` and `init_args` of the detector.
        data: The same for the datamodule.
        refinement: Arguments of `extensions.refinement.Plan`, such as `{"strategy": "consensus"}`.
        trainer: As in `run`.
        seed: As in `run`.
        output: As in `run`.

    Raises:
        RunError: As in `run`.

    Example:
        >>> found = refine(model, data, {"strategy": "consensus", "rule": "mad"})
        >>> found.suspects.head()
    """
    import pandas as pd

    from benchmark.refined import ROUNDS, SUSPECTS
    from extensions.refinement.loop import training_names

    record = run(model, data, trainer=trainer, seed=seed, refinement=refinement, output=output)
    prepared = prepare(Experiment(model=model, data=data, trainer=trainer or {}, seed=seed, refinement=refinement))
    folder = prepared.folder(Store(Path(output)))
    assert prepared.datamodule is not None
    files = map(Path, prepared.datamodule.train_data.samples["image_path"])
    return Refined(
        record,
        pd.read_csv(folder / ROUNDS),
        pd.read_csv(folder / SUSPECTS, dtype={"removed_in_round": "Int64"}),
        dict(zip(training_names(prepared.datamodule), files, strict=True)),
    )


def read_augmentation(output: Path = DEFAULT_OUTPUT) -> pd.DataFrame:
    """What each augmentation in an output folder changes, see `benchmark.augmentation_frames.augmentation_frame`."""
    return augmentation_frame(load(Path(output)).records)


def read_leaderboard(output: Path = DEFAULT_OUTPUT) -> pd.DataFrame:
    """The leaderboard of an output folder as a frame, one row per model, backbone, settings and data set."""
    archive = load(Path(output))
    return frames(archive.records, archive.plans, warnings=archive.warnings).leaderboard
