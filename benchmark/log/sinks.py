"""Where finished records are sent to: what was asked for, whether it is there, and what was sent already."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmark.log.record_facts import Facts, facts_to_send
from benchmark.records.record import Record
from benchmark.records.run_files import write_json
from extensions.configuration import ConfigError
from extensions.configuration.errors import did_you_mean

logger = logging.getLogger(__name__)

SENT = "sent.json"  # beside a record: where it was sent to
MODULES = {"wandb": "to_wandb", "mlflow": "to_mlflow", "tensorboard": "to_tensorboard"}
SETTINGS = {
    "wandb": ("project", "mode", "dir", "entity", "group"),
    "mlflow": ("tracking_uri", "experiment"),
    "tensorboard": ("folder",),
}


class Write(Protocol):
    """Sends one finished run."""

    def __call__(self, facts: Facts, settings: Mapping[str, Any], output: Path) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Sink:
    """One logger.

    Attributes:
        name: `wandb`, `mlflow` or `tensorboard`.
        settings: As asked for.
        write: Sends one run.
    """

    name: str
    settings: dict[str, Any]
    write: Write


def check_log(section: Any) -> dict[str, dict[str, Any]]:
    """The settings of each logger of a section `log:`, by name; nothing is imported.

    Args:
        section: A name, a mapping of names to settings, or a list of both:
            `[tensorboard, {wandb: {project: caps}}]`. None for no logger.

    Raises:
        ConfigError: An unknown logger or setting, or another form.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in _entries(section):
        named = {entry: None} if isinstance(entry, str) else entry
        if not isinstance(named, Mapping) or not named:
            msg = f"log: found {entry!r}, expected a name such as tensorboard, or 'wandb: {{project: NAME}}'"
            raise ConfigError(msg)
        for name, settings in named.items():
            found[name] = found.get(name, {}) | _checked(name, settings)
    return found


def _entries(section: Any) -> list[Any]:
    """A list as one level, without what is None."""
    if isinstance(section, list | tuple):
        return [entry for part in section for entry in _entries(part)]
    return [] if section is None else [section]


def _checked(name: Any, settings: Any) -> dict[str, Any]:
    if name not in MODULES:
        msg = f"log: there is no logger {name!r}{did_you_mean(str(name), MODULES, list_all=True)}"
        raise ConfigError(msg)
    if settings is not None and not isinstance(settings, Mapping):
        msg = f"log: {name}: found {settings!r}, expected settings by name ({', '.join(SETTINGS[name])})"
        raise ConfigError(msg)
    for key in settings or {}:
        if key not in SETTINGS[name]:
            msg = f"log: {name}: there is no setting {key!r}{did_you_mean(str(key), SETTINGS[name], list_all=True)}"
            raise ConfigError(msg)
    return dict(settings or {})


def open_sinks(section: Any) -> list[Sink]:
    """The loggers of a section `log:`, see `check_log`; before any run, for a package may be missing.

    Raises:
        ConfigError: As `check_log`, or a package is not installed; it says how to install it.
    """
    sinks = []
    for name, settings in check_log(section).items():
        if importlib.util.find_spec(name) is None:
            msg = f"log: {name} is not installed; run: pip install {name}"
            raise ConfigError(msg)
        module = importlib.import_module(f"benchmark.log.{MODULES[name]}")
        sinks.append(Sink(name, settings, module.write))
    return sinks


def send(record: Record, *, sinks: Sequence[Sink], output: Path) -> None:
    """Send a finished record to each logger that does not have it; what fails there is a warning and harms no run.

    Args:
        record: Others than finished ones are left out.
        sinks: Of `open_sinks`.
        output: Folder of records and tables, where loggers put their own files unless told otherwise.
    """
    if not record.is_finished or not sinks:
        return
    folder = output / record.folder
    sent = _sent(folder)
    for sink in sinks:
        if sent.get(sink.name) == sink.settings:
            continue
        try:
            sink.write(facts_to_send(record, folder), sink.settings, output)
            sent[sink.name] = sink.settings
            write_json(folder / SENT, sent)
        except Exception as error:
            logger.warning(
                "run %s was not sent to %s (%s: %s); its record is in %s, and the same command sends it again",
                record.key, sink.name, type(error).__name__, " ".join(str(error).split())[:300], folder,
            )  # fmt: skip


def _sent(folder: Path) -> dict[str, Any]:
    """What the run's folder says was sent; a run that is repeated gets a new folder."""
    try:
        found = json.loads((folder / SENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
