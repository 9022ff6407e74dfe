"""The arguments that an object was given, so that it can be described as an entry of a config."""

import inspect
from typing import Any, Self


class RemembersArguments:
    """Mix-in whose objects know the arguments they were given.

    In `__new__`, because a constructor leaves no trace of which arguments were left at their default, and our
    constructors put others in their place (`layers`, paths).
    """

    _given: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep what is handed to the constructor."""
        made = super().__new__(cls)
        made.__dict__["_given"] = (args, kwargs)  # a torch module refuses attributes before its constructor ran
        return made


def given_arguments(made: RemembersArguments) -> dict[str, Any] | None:
    """The arguments by name, without those left at their default; None for one that a checkpoint brought."""
    if made._given is None:
        return None
    args, kwargs = made._given
    signature = inspect.signature(type(made).__init__)
    bound = signature.bind(made, *args, **kwargs).arguments
    named = dict(list(bound.items())[1:])
    rest = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)
    return {**{name: value for name, value in named.items() if name != rest}, **named.get(rest or "", {})}
