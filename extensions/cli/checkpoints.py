"""`--ckpt_path best` and `last`: the checkpoints of the newest run in anomalib's folder layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from extensions.configuration import ConfigError

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

NAMES = ("best", "last")


def find_checkpoint(ckpt_path: str | Path, *, root: Path, model: str, dataset: Path | None) -> Path:
    """The checkpoint file that is meant.

    anomalib writes `<root>/<Model>/<data set>/<category>/v<N>/weights/lightning/*.ckpt` with a link `latest` to the
    newest run. Unless a checkpoint callback in the config says otherwise that is one `model.ckpt`, of the last epoch,
    and both names mean it.

    Args:
        ckpt_path: A path, or `best` or `last`.
        root: `default_root_dir` of the command.
        model: Class name of the model.
        dataset: Data set name and category below the model's folder; None looks in all of them.

    Raises:
        ConfigError: No such file, no run to take it from, or several checkpoints to choose from.
    """
    check_checkpoint(ckpt_path)
    if str(ckpt_path) not in NAMES:
        return Path(ckpt_path)
    base = root / model / dataset if dataset else root / model
    folders = sorted({path.resolve() for path in base.glob(f"{'' if dataset else '**/'}latest/weights/lightning")})
    where = base / ("latest" if dataset else "**/latest") / "weights" / "lightning"
    if len(folders) != 1:
        found = f"several runs are there: {', '.join(map(str, folders))}" if folders else f"no finished run in {where}"
        msg = f"--ckpt_path {ckpt_path}: {found}; train first with the same --default_root_dir, or give the file"
        raise ConfigError(msg)
    return _choose(str(ckpt_path), folders[0])


def check_checkpoint(ckpt_path: str | Path) -> None:
    """Refuse a file that is not there; which run `best` and `last` mean is not looked at.

    Raises:
        ConfigError: No such file.
    """
    if str(ckpt_path) not in NAMES and not Path(ckpt_path).is_file():
        msg = f"--ckpt_path {ckpt_path}: there is no such file; expected a checkpoint, 'best' or 'last'"
        raise ConfigError(msg)


def check_export(model: AnomalibModule, path: Path) -> None:
    """Refuse to export the checkpoint of a model that was built otherwise than the config says.

    Anomalib's export would silently drop what the config says; `test` and `predict` load the checkpoint into the model
    and refuse it there.

    Raises:
        ValueError: As `CheckpointMixin.check_settings`, or it is no checkpoint.
    """
    import pickle

    import torch
    from anomalib.utils.serialization import anomalib_safe_globals

    if not hasattr(model, "check_settings"):
        return
    try:
        with anomalib_safe_globals(extra=model.checkpoint_safe_globals()):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        msg = f"--ckpt_path {path}: this cannot be read as a checkpoint; expected one of {model.name}"
        raise ConfigError(msg) from error
    try:
        model.check_settings(stored)
    except ValueError as error:
        msg = f"--ckpt_path {path}: {error}"
        raise ConfigError(msg) from error


def _choose(name: str, folder: Path) -> Path:
    """The checkpoint of that name in one run's folder."""
    files = sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    if name == "last" and files:
        return next((path for path in files if path.stem.startswith("last")), files[-1])
    others = [path for path in files if not path.stem.startswith("last")] or files
    if len(others) != 1:
        found = ", ".join(path.name for path in others) or "no checkpoint"
        msg = f"--ckpt_path {name}: expected one checkpoint in {folder}, found {found}; give the file"
        raise ConfigError(msg)
    return others[0]
