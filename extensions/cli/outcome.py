"""What a subcommand ends with: its metrics, where its files lie, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from extensions.runtime.command import workbench

if TYPE_CHECKING:
    from extensions.cli.command import WorkbenchCLI


def told(cli: WorkbenchCLI, config: Path | None) -> str:
    """The last lines of a subcommand that was run.

    Args:
        cli: After the run.
        config: The configuration file on its command line, for the next command; None for several or none.
    """
    root = _shown(Path(cli.engine.trainer.default_root_dir))
    lines = {"train": _trained, "fit": _trained, "test": _tested, "validate": _tested}
    if cli.subcommand in lines:
        return lines[cli.subcommand](cli, root, config)
    if cli.subcommand == "predict":
        n_images = sum(len(batch.image) for batch in cli.outcome or [])
        images = root / "images"
        return f"{n_images} images predicted" + (f": open {images}" if images.is_dir() else "")
    use = workbench("bench", "--model", _shown(Path(cli.outcome))) if str(cli.outcome).endswith(".xml") else ""
    return f"exported: {_shown(Path(cli.outcome))}" + (f"; next: {use}" if use else "")


def metrics_table(outcome: Any) -> str:
    """The metrics of Lightning's list of dicts, a line each; blank when there are none."""
    metrics = {name: float(value) for part in outcome or [] for name, value in part.items()}
    width = max(map(len, metrics), default=0)
    return "\n".join(f"{name:<{width}}  {value:.4f}" for name, value in metrics.items())


def _trained(cli: WorkbenchCLI, root: Path, config: Path | None) -> str:
    if not (kept := cli.engine.best_model_path):
        return _joined(metrics_table(cli.outcome), f"trained: {root}")
    checkpoint = _shown(Path(kept))
    if cli.subcommand == "train":
        command = ["export", "--checkpoint", checkpoint, "--calibration", "GOOD_IMAGES", "--output", "model"]
    else:
        command = ["test", "--config", config or "CONFIG", "--ckpt_path", checkpoint]
    return _joined(metrics_table(cli.outcome), f"trained: {checkpoint}; next: {workbench(*command)}")


def _tested(cli: WorkbenchCLI, root: Path, config: Path | None) -> str:
    images = root / "images"
    where = f": open {images}" if images.is_dir() else ""
    word = "tested" if cli.subcommand == "test" else "validated"
    return _joined(metrics_table(cli.outcome), f"{word} {cli.model.name}{where}")


def _shown(path: Path) -> Path:
    """Relative to the working directory where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)
