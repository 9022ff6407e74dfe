"""Command-line arguments before anomalib's parser sees them: config files checked, short class names resolved."""

import itertools
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from extensions.configuration import ConfigError, load_config
from extensions.configuration.classes import known_classes, resolve_class_path

CONFIG_OPTIONS = ("-c", "--config")
CLASS_OPTIONS = {"--model": "model", "--model.class_path": "model", "--data": "data", "--data.class_path": "data"}
# A config that trained a model also serves to predict with it and to export it, where anomalib takes no optimizer.
TRAINING_KEYS = ("optimizer", "lr_scheduler")
UNTRAINED = ("predict", "export")


class UsageError(ConfigError):
    """The command line itself is wrong: an unknown option, or one without its value."""


def prepare_arguments(args: Sequence[str]) -> list[str]:
    """Arguments that mean the same to anomalib's parser, which refuses `Patchcore` once two classes have that name.

    `--data-root` is an argument of the data set, as our own of images on disk have it.

    Args:
        args: A subcommand and its options.

    Raises:
        ConfigError: A config file that cannot be read, or a short name that no class has.
    """
    subcommand = args[0] if args else ""
    own = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    own.add_argument("--data-root")
    given, args = own.parse_known_args(args)
    prepared: list[str] = []
    option = ""
    for arg in args:
        name, equals, value = arg.partition("=") if arg.startswith("-") else ("", "", "")
        if equals:
            prepared.append(f"{name}={_value(name, value, subcommand)}")
        else:
            prepared.append(_value(option, arg, subcommand))
        option = arg if arg.startswith("-") else ""
    # Last, because the class that takes it must be known by then.
    if given.data_root is not None:
        prepared.append(f"--data.init_args.data_root={Path(given.data_root).resolve()}")
    return prepared


def config_files(args: Sequence[str]) -> list[str]:
    """The values of all config options, in order."""
    files = [value for name, value in itertools.pairwise(args) if name in CONFIG_OPTIONS]
    return files + [arg.partition("=")[2] for arg in args if arg.startswith("--config=")]


def _value(option: str, value: str, subcommand: str) -> str:
    """One option's value as anomalib's parser must get it."""
    if option in CONFIG_OPTIONS and "\n" not in value and not value.startswith("{"):
        return _config(value, subcommand)
    if option in CLASS_OPTIONS:
        return _class(value, CLASS_OPTIONS[option], subcommand)
    return value


def _class(value: str, role: str, subcommand: str) -> str:
    """A class named on the command line; with `predict --data` it may as well be a path."""
    if not value.isidentifier() or (subcommand == "predict" and role == "data" and value not in known_classes(role)):
        return value
    return resolve_class_path(value, role)


def _config(value: str, subcommand: str) -> str:
    """The config file itself, or its content if something in it had to be changed."""
    config = load_config(Path(value))
    changed = False
    for role in ("model", "data"):
        spec = config.get(role)
        name = spec.get("class_path") if isinstance(spec, dict) else spec
        if not isinstance(name, str) or not name.isidentifier():
            continue
        try:
            resolved = _class(name, role, subcommand)
        except ConfigError as error:
            msg = f"{value}: {error}"
            raise ConfigError(msg) from error
        changed = changed or resolved != name
        config[role] = {**spec, "class_path": resolved} if isinstance(spec, dict) else resolved
    if subcommand in UNTRAINED:
        dropped: list[Any] = [config.pop(key) for key in TRAINING_KEYS if key in config]
        changed = changed or bool(dropped)
    return yaml.safe_dump(config, sort_keys=False) if changed else value
