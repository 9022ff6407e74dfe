"""Pairing the tensor names of a file with those of a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Wanted:
    """Names a network has.

    Args:
        names: All of them.
        required: Those that the used layers need.
        units: The parts of the network the required names are in (`layer1`, `blocks.3`, `stages_2`).
        containers: First name parts below which a part is named by two (`blocks` for `blocks.3`).
    """

    names: frozenset[str]
    required: frozenset[str]
    units: frozenset[str]
    containers: frozenset[str]

    @classmethod
    def of(cls, names: Iterable[str], deepest: Mapping[str, int]) -> Wanted:
        """Split the names by what is needed.

        Args:
            names: Of the network's tensors.
            deepest: For each container of numbered stages, the number of the deepest one used.
        """
        names, containers = frozenset(names), frozenset(deepest)
        units = {name: _unit(name, containers) for name in names}
        used = {
            unit
            for unit in units.values()
            if unit not in _HEADS and not ("." in unit and int(unit.split(".")[1]) > deepest[unit.split(".")[0]])
        }
        # the counter of batches is not used by a frozen network, and old files lack it
        required = {name for name, unit in units.items() if unit in used and not name.endswith("num_batches_tracked")}
        return cls(names, frozenset(required), frozenset(used), containers)


@dataclass(frozen=True)
class Match:
    """The result of pairing.

    Args:
        names: The network's name to the file's key.
        missing: Required names that the file lacks.
        unexpected: Keys of the file that lie within the required parts but that the network does not have.
        prefixes: Prefixes under which a network was found; more than one is ambiguous.
    """

    names: dict[str, str]
    missing: list[str]
    unexpected: list[str]
    prefixes: list[str]


# parts of a complete network that give no feature maps
_HEADS = frozenset({"head", "fc", "fc_norm", "classifier", "head_dist"})


def match_names(keys: Mapping[str, str], wanted: Wanted) -> Match:
    """Pair names by the prefix that fits best, and by timm's flattened stages (`stages.0` is `stages_0`).

    Args:
        keys: Name to look for to the file's key (the same, unless a key map renamed it).
        wanted: The network's names.
    """
    counts: Counter[str] = Counter()
    for name in keys:
        parts = name.split(".")
        for start in range(len(parts)):
            if _canonical(".".join(parts[start:]), wanted.names) in wanted.required:
                counts["".join(f"{part}." for part in parts[:start])] += 1
    most = max(counts.values(), default=0)
    prefixes = sorted(prefix for prefix, count in counts.items() if count == most)
    prefix = "" if "" in prefixes or not prefixes else prefixes[0]
    found: dict[str, str] = {}
    unexpected: list[str] = []
    for name, key in keys.items():
        if not name.startswith(prefix):
            continue
        canonical = _canonical(name.removeprefix(prefix), wanted.names)
        if canonical in wanted.names:
            found[canonical] = key
        elif _unit(canonical, wanted.containers) in wanted.units:
            unexpected.append(key)
    missing = sorted(wanted.required - set(found))
    return Match(found, missing, sorted(unexpected), [prefix] if "" in prefixes else prefixes)


def _canonical(name: str, names: frozenset[str]) -> str:
    """The network's form of a name: as it is, or with the stage flattened."""
    if name in names:
        return name
    flat = name.replace(".", "_", 1)
    first = flat.split(".", 1)[0]
    return flat if flat in names or first in _containers(names) else name


@lru_cache(maxsize=8)  # each name of a file asks for it
def _containers(names: frozenset[str]) -> frozenset[str]:
    """The first parts of all names that have more."""
    return frozenset(name.split(".", 1)[0] for name in names if "." in name)


def _unit(name: str, containers: frozenset[str]) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] in containers and len(parts) > 1 and parts[1].isdigit() else parts[0]
