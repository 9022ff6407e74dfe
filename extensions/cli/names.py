"""What is wrong with the names on a command line and in its config, told before anomalib's parser is built."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extensions.cli.arguments import CLASS_OPTIONS, CONFIG_OPTIONS, TRAINING_KEYS, UNTRAINED, UsageError, config_files
from extensions.cli.checkpoints import check_checkpoint
from extensions.configuration import ConfigError, early, load_config
from extensions.configuration.early import TRAINER, check_argument_names, check_spec_names, class_path_of
from extensions.configuration.errors import did_you_mean, unknown_key
from extensions.configuration.signatures import parameter_names

# The keys of a config and the options of anomalib's parser, which takes seconds to build; a test holds them against it.
ALL = ("ckpt_path", "config", "data", "default_root_dir", "logging", "model", "seed_everything", "trainer")
KEYS = {
    "train": (*ALL, *TRAINING_KEYS),
    "fit": (*ALL, *TRAINING_KEYS),
    "validate": (*ALL, *TRAINING_KEYS, "verbose"),
    "test": (*ALL, *TRAINING_KEYS, "verbose"),
    "predict": (*ALL, "return_predictions"),
    "export": (
        *ALL,
        "compression_type",
        "export_root",
        "export_type",
        "input_size",
        "max_drop",
        "metric",
        "model_file_name",
        "onnx_kwargs",
        "ov_args",
        "ov_kwargs",
    ),
}
OPTIONS = ("help", "print_config", "data-root")
ROLES = ("model", "data")


def check_names(args: Sequence[str]) -> None:
    """Refuse what anomalib's parser would refuse seconds later.

    Names alone are looked at, and those only that surely are wrong. An option may be shortened, as the parser has it,
    but not what follows its dot: `--trainer.max_epoch` is as wrong as that key in a config.

    Args:
        args: A subcommand and its options.

    Raises:
        UsageError: An option there is not, or `--config` without a file.
        ConfigError: A config file that cannot be read, a key, class, argument or checkpoint there is not.
    """
    subcommand, *given = args
    if "--" in args:
        return
    _check_options(subcommand, given)
    if not early.is_early():
        return
    files = [file for file in config_files(args) if "\n" not in file and not file.startswith("{")]
    configs = [_checked_config(file, subcommand) for file in files]
    for role in ROLES:
        if role == "data" and subcommand == "predict" and any(arg.partition("=")[0] == "--data" for arg in given):
            continue  # it may be a folder
        own = _own_options(given, role)
        if own and len(configs) == len(config_files(args)) and not _is_named(given, configs, role):
            msg = f"--{role}.{own[0]}: no class is named that takes it; give one by --{role} CLASS or --config FILE"
            raise UsageError(msg)
        path = _class_path(given, [config.get(role) for config in configs], role)
        if path is not None:
            check_argument_names(own, path, role)
    checkpoints = {*_values(given, "--ckpt_path"), *(str(config.get("ckpt_path") or "null") for config in configs)} - {
        "null"
    }
    if len(checkpoints) == 1:  # else one takes the place of the others
        check_checkpoint(*checkpoints)


def _check_options(subcommand: str, given: Sequence[str]) -> None:
    known = (*KEYS[subcommand], *OPTIONS)
    for place, arg in enumerate(given):
        name = arg.removeprefix("--").partition("=")[0].partition(".")[0].removesuffix("+")
        if arg.startswith("--") and not any(one.startswith(name) for one in known):
            follows = [value for value in given[place + 1 : place + 2] if not value.startswith("-")]
            msg = f"Unrecognized arguments: {' '.join([arg, *follows])}"
            raise UsageError(msg)
    trainer = parameter_names(TRAINER)
    for name in _own_options(given, "trainer"):
        if trainer is not None and name not in trainer:
            msg = f"there is no option --trainer.{name}{did_you_mean(name, [f'--trainer.{one}' for one in trainer])}"
            raise UsageError(msg)
    if given and given[-1] in CONFIG_OPTIONS:
        msg = "argument -c/--config: expected one argument"
        raise UsageError(msg)


def _checked_config(file: str, subcommand: str) -> dict[str, Any]:
    """A config file as it stands there, its keys and classes known."""
    config = load_config(Path(file))
    trainer = parameter_names(TRAINER)
    taken = (*KEYS[subcommand], *(TRAINING_KEYS if subcommand in UNTRAINED else ()))
    given: list[tuple[str, Sequence[str]]] = [(str(key), taken) for key in config]
    if trainer and isinstance(config.get("trainer"), dict):
        given += [(f"trainer.{key}", [f"trainer.{name}" for name in trainer]) for key in config["trainer"]]
    for key, known in given:
        if key not in known:
            msg = f"{file}: {unknown_key(key, known)}"
            raise ConfigError(msg)
    for role in ROLES:
        if isinstance(config.get(role), dict if role == "data" else dict | str):  # data may be a folder to predict
            try:
                check_spec_names(config[role], role)
            except ConfigError as error:
                msg = f"{file}: {error}"
                raise ConfigError(msg) from error
    return config


def _is_named(given: Sequence[str], configs: Sequence[dict[str, Any]], role: str) -> bool:
    """Whether an option or a config names a class, whichever it is."""
    return any(CLASS_OPTIONS.get(arg.partition("=")[0]) == role for arg in given) or any(
        config.get(role) for config in configs
    )


def _values(given: Sequence[str], option: str) -> list[str]:
    """What an option is given, as `--option VALUE` and as `--option=VALUE`."""
    pairs = [*itertools.pairwise(given), *((name, value) for name, _, value in (arg.partition("=") for arg in given))]
    return [value for name, value in pairs if name == option and value]


def _class_path(given: Sequence[str], sections: Sequence[Any], role: str) -> str | None:
    """The path of the class that options such as `--model.n_features` are for, if that is sure."""
    taking = [option for option, taken in CLASS_OPTIONS.items() if taken == role]
    options = [value for option in taking for value in _values(given, option)]
    names: list[Any] = [*options] or [section.get("class_path") for section in sections if isinstance(section, dict)]
    if len(names) != 1 or not isinstance(names[0], str):
        return None
    if options and not names[0].startswith("{"):
        check_spec_names(names[0], role)
    return class_path_of(names[0], role) or names[0]


def _own_options(given: Sequence[str], role: str) -> list[str]:
    """The names of arguments in options such as `--model.n_features` and `--data.init_args.root=…`."""
    found = []
    for arg in given:
        if arg.startswith(f"--{role}."):
            name = arg.partition("=")[0].removeprefix(f"--{role}.").removeprefix("init_args.").removesuffix("+")
            found.append(name.partition(".")[0])
    return [name for name in found if name not in {"class_path", "init_args", "dict_kwargs", "help"}]
