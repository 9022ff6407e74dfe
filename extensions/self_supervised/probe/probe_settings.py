"""What a config of a probe asks for, checked before any work."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extensions.configuration import ConfigError
from extensions.configuration.checked_values import check_keys, is_whole

DATA_KEYS = {"root": str, "layout": str, "name": str}
ENCODER_KEYS = {"backbone": str, "layers": list, "weights": str, "pre_trained": bool}
KEYS = ("data", "image_size", "seed", "encoders")
MAX_SEED = 2**32 - 1
WORDS = {str: "text", list: "a list of layer names", bool: "true or false"}


@dataclass(frozen=True)
class ProbeSettings:
    """A probe's config.

    Attributes:
        data: Arguments of `read_probe_data`.
        encoders: Arguments of `find_encoder`, one mapping each, in the order of the config.
        image_size: Height and width in px that a network sees.
        seed: Of random weights and of what is held out of training.
    """

    data: dict[str, Any]
    encoders: tuple[dict[str, Any], ...]
    image_size: int = 224
    seed: int = 0


def probe_settings(config: dict[str, Any], path: Path) -> ProbeSettings:
    """Read a config; names of backbones and layers are checked later.

    Raises:
        ConfigError: An unknown key, a missing one or a value that cannot be; the message begins with the path.
    """
    try:
        check_keys(config, KEYS)
        encoders = encoder_entries(config.get("encoders"))
        return ProbeSettings(
            data=_checked(config.get("data"), DATA_KEYS, "data", needs="root"),
            encoders=encoders,
            image_size=_whole(config.get("image_size", ProbeSettings.image_size), "image_size", 1, 4096),
            seed=_whole(config.get("seed", ProbeSettings.seed), "seed", 0, MAX_SEED),
        )
    except ConfigError as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from error


def encoder_entries(encoders: Any) -> tuple[dict[str, Any], ...]:
    """The entries of `encoders`, each as arguments of `find_encoder`.

    Raises:
        ConfigError: It is no list, or an entry is not a name or a mapping of known keys.
    """
    if not isinstance(encoders, list) or not encoders:
        msg = f"encoders: expected a list such as [pixels, resnet18], found {encoders!r}"
        raise ConfigError(msg)
    return tuple(_encoder(entry, f"encoders.{place}") for place, entry in enumerate(encoders))


def _encoder(entry: Any, place: str) -> dict[str, Any]:
    """An entry of `encoders`: a name alone, or a mapping."""
    entry = {"backbone": entry} if isinstance(entry, str) else entry
    if isinstance(entry, dict) and isinstance(entry.get("layers"), str):
        entry = entry | {"layers": [entry["layers"]]}
    return _checked(entry, ENCODER_KEYS, place, needs="backbone")


def _checked(entry: Any, keys: Mapping[str, type], place: str, *, needs: str) -> dict[str, Any]:
    """A mapping whose keys and types are known; keys without a value are left out."""
    if isinstance(entry, dict):
        check_keys(entry, keys, place=f"{place}.")
    if not isinstance(entry, dict) or entry.get(needs) is None:
        others = ", ".join(sorted(keys.keys() - {needs}))
        msg = f"{place}: expected a mapping with {needs!r} and perhaps {others}, found {entry!r}"
        raise ConfigError(msg)
    given = {key: value for key, value in entry.items() if value is not None}
    for key, value in given.items():
        if not isinstance(value, keys[key]):
            msg = f"{place}.{key}: expected {WORDS[keys[key]]}, found {value!r}"
            raise ConfigError(msg)
    return given


def _whole(value: Any, name: str, least: int, largest: int) -> int:
    if not is_whole(value, least, largest):
        msg = f"{name}: expected a whole number from {least} to {largest}, found {value!r}"
        raise ConfigError(msg)
    return value
