"""Which images a search looks at: what the key `validation` of a configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from extensions.configuration import ConfigError
from extensions.configuration.checked_values import check_keys, is_number, is_whole

Kind = Literal["labelled", "folder", "known", "drawn"]
KINDS: tuple[str, ...] = get_args(Kind)
_OPTIONS = ("held_out", "seed", "n_train", "n_good")
_EXPECTED = (
    "expected {labelled: 20} (so many defects of the test set, which are not tested then), {folder: DIR} (images laid "
    "out as calibration_dir), known (the known defects of the data set), or drawn (defects drawn on good images)"
)
N_DRAWN = 60


@dataclass(frozen=True)
class Validation:
    """Which images a search looks at; never those that are tested.

    Attributes:
        kind: `labelled`: defects taken out of the test set, which is tested without them; `folder`: a folder of images
            that is neither trained on nor tested; `known`: the known defects of the data set; `drawn`: defects drawn
            on good images that are held out of training.
        n: How many defects are taken, of `labelled` (for each data set) and `drawn`.
        folder: Of `folder`, relative to that of the data set, laid out as `calibration_dir`.
        held_out: Share of the good training images that is held out of the training of every trial, by groups.
        seed: Of all draws.
        n_train: Images that a trial trains on, drawn once; None for all that are not held out.
        n_good: Good images that a trial is judged on at most; None for all that are held out.
    """

    kind: Kind
    n: int = 0
    folder: str = ""
    held_out: float = 0.25
    seed: int = 0
    n_train: int | None = 150
    n_good: int | None = 100

    @property
    def told(self) -> str:
        """For a person: what the settings were chosen by."""
        return {
            "labelled": f"{self.n} labelled defects of each data set, which are not tested (seed {self.seed})",
            "folder": f"the images of {self.folder}",
            "known": "the known defects of each data set, which are not tested",
            "drawn": f"{self.n} defects drawn on held-out good images of each data set (seed {self.seed})",
        }[self.kind]

    @property
    def on_disk(self) -> dict[str, Any]:
        """As in a configuration, with all that decides which images are looked at."""
        chosen = {self.kind: {"labelled": self.n, "drawn": self.n, "folder": self.folder}.get(self.kind, True)}
        return chosen | {name: getattr(self, name) for name in _OPTIONS}


def read_validation(given: Any) -> Validation:
    """The validation that the key `validation` asks for; drawn defects where it is not there.

    Raises:
        ConfigError: Another kind, more than one or none, or a number that cannot be.
    """
    if given is None:
        given = "drawn"
    section: Mapping[str, Any] = {given: True} if isinstance(given, str) else given
    if not isinstance(section, Mapping):
        msg = f"validation: found {given!r}, {_EXPECTED}"
        raise ConfigError(msg)
    check_keys(section, (*KINDS, *_OPTIONS), place="validation.")
    kinds = [kind for kind in KINDS if kind in section and section[kind] is not False]
    if len(kinds) != 1:
        msg = f"validation: found {given!r}, {_EXPECTED}"
        raise ConfigError(msg)
    kind = kinds[0]
    value, options = section[kind], {name: section[name] for name in _OPTIONS if name in section}
    _check_options(options)
    if kind == "folder":
        _check(
            isinstance(value, str) and value, "folder", value, "a folder with the subfolders good and those of defects"
        )
        return Validation("folder", folder=value, **options)
    if kind == "known":
        _check(value is True, "known", value, "nothing more: which defects are known stands in the data set")
        return Validation("known", **options)
    value = N_DRAWN if kind == "drawn" and value is True else value
    _check(is_whole(value, 1), kind, value, "how many defects, such as 20")
    return Validation(cast("Kind", kind), n=value, **options)


def _check_options(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if name == "held_out":
            _check(is_number(value) and 0 < value < 1, name, value, "a share between 0 and 1")
        elif name == "seed":
            _check(is_whole(value, 0), name, value, "a whole number from 0 on")
        else:
            _check(value is None or is_whole(value, 2), name, value, "2 images or more, or null for all")


def _check(is_right: Any, name: str, value: Any, expected: str) -> None:
    if not is_right:
        msg = f"validation.{name}: found {value!r}, expected {expected}"
        raise ConfigError(msg)
