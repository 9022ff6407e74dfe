"""Arguments of Lightning's Trainer as they stand in a config."""

from typing import Any

from extensions.configuration.errors import ConfigError, explain, unknown_trainer_argument

_OBJECTS = ("callbacks", "logger", "strategy", "plugins", "profiler")  # objects or entries that build them


def check_trainer(trainer: dict[str, Any]) -> None:
    """Refuse what Lightning's Trainer does not take; nothing is built.

    Raises:
        ConfigError: An unknown argument, or a plain value of another type than the argument's.
    """
    from jsonargparse import ArgumentError, ArgumentParser
    from lightning.pytorch import Trainer

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Trainer, "trainer", skip=set(_OBJECTS), fail_untyped=False)
    known = parser.get_defaults().as_dict()["trainer"].keys() | set(_OBJECTS)
    for name in trainer:
        if name not in known:
            raise ConfigError(unknown_trainer_argument(str(name), known))
    plain = {name: value for name, value in trainer.items() if name not in _OBJECTS}
    try:
        parser.parse_object({"trainer": plain})
    except ArgumentError as error:
        raise ConfigError(explain(str(error))) from error
