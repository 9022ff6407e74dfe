"""A config file as plain data: read, checked for form, overridden from the command line."""

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from extensions.configuration.errors import ConfigError, did_you_mean_file


class _Loader(yaml.SafeLoader):
    """YAML as jsonargparse reads it (`1e-3` is a number, a date is text), with repeated keys refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, refusing a key that stands in it twice: the first value would be lost silently."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = getattr(key, "value", None)
            if isinstance(name, str) and name != "<<":
                if name in seen:
                    raise yaml.MarkedYAMLError(problem=f"key {name!r} stands here twice", problem_mark=key.start_mark)
                seen.add(name)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in rows if tag.rsplit(":", 1)[-1] not in {"float", "timestamp"}]
    for letter, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    ),
    list("-+0123456789."),
)


def load_config(path: Path, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML config and apply overrides to it.

    Args:
        path: The YAML file; an empty file is an empty config.
        overrides: `a.b.c=value` each, value in YAML; see `apply_overrides`.

    Raises:
        ConfigError: The file is missing or unreadable, is not YAML (with its line), is not a mapping, repeats a key,
            or an override does not fit.
    """
    config = _parse(_read(Path(path)), path)
    if config is None:
        config = {}
    if not isinstance(config, dict):
        msg = f"{path}: expected keys such as 'model:' and 'data:' at the top, found {_kind(config)}"
        raise ConfigError(msg)
    return apply_overrides(config, overrides)


def apply_overrides(config: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of a config with `a.b.c=value` set in it, one after the other.

    A key that leads into nothing is made; a number leads into a list (`models.0.init_args.layers`), and the number
    after its last one appends. The value is YAML: `0.1`, `[layer2, layer3]`, `null`; nothing after `=` is null.

    Raises:
        ConfigError: No `=`, a value that is not YAML, or a key that leads into a plain value or past a list's end.
    """
    config = copy.deepcopy(config)
    for override in overrides:
        key, found, text = override.partition("=")
        if not found or not key.strip():
            msg = f"override {override!r}: expected KEY=VALUE, for instance model.init_args.num_neighbors=5"
            raise ConfigError(msg)
        _assign(config, key.strip(), _parse(text, f"override {override!r}"))
    return config


def _read(path: Path) -> str:
    """The text of a config file."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        folder = path.parent
        # Also beside the folder, where the user named the one around it.
        around = folder.parent.glob("*/*") if len(folder.parts) > 1 and not folder.is_absolute() else ()
        near = [one for one in (*folder.glob("*"), *folder.glob("*/*"), *around) if one.suffix in {".yaml", ".yml"}]
        where = did_you_mean_file(path, near) if folder.is_dir() else f"; there is no folder {folder} either"
        msg = f"{path}: no such config file{where}"
        raise ConfigError(msg) from None
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read as a text file: {error}"
        raise ConfigError(msg) from error


def _parse(text: str, origin: Path | str) -> Any:
    """YAML text as plain data; what is wrong is named with its line."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{origin}:{mark.line + 1}:{mark.column + 1}" if mark and isinstance(origin, Path) else str(origin)
        msg = f"{place}: not valid YAML: {error.problem or error.context}"
        raise ConfigError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{origin}: not valid YAML: {' '.join(str(error).split())}"
        raise ConfigError(msg) from error


def _assign(config: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key."""
    parts = key.split(".")
    node: Any = config
    for depth, part in enumerate(parts):
        slot = _slot(node, part, ".".join(parts[:depth]), key)
        if depth == len(parts) - 1:
            node[slot] = value
        elif node[slot] is None:
            node[slot] = {}
        node = node[slot]


def _slot(node: Any, part: str, place: str, key: str) -> str | int:
    """Where one part of a dotted key points in a mapping or list; made if it points just past what is there."""
    if isinstance(node, dict):
        node.setdefault(part, None)
        return part
    if not isinstance(node, list):
        msg = f"override {key!r}: {place} is {_kind(node)}, so it has no {part!r} inside"
        raise ConfigError(msg)
    if not part.isdigit() or int(part) > len(node):
        msg = f"override {key!r}: {place} is {_kind(node)}, so expected a number up to {len(node)}, found {part!r}"
        raise ConfigError(msg)
    if int(part) == len(node):
        node.append(None)
    return int(part)


def _kind(value: Any) -> str:
    """What a value is, in the words of a config file."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a mapping"
    return f"{value!r}"
