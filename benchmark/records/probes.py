"""Rows of probe*.csv, how well a linear classifier tells classes by a frozen backbone's features, as table cells."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.metrics.columns import AT

Network = tuple[str, str]
"""What runs and probes of the same features share: architecture, and sha256 of the weights or a word in its place."""
Line = Mapping[str, Any]

LEVELS = ("probe", "deepest")
"""Prefixes of the cells at a layer that all backbones have alike, and at the deepest of those that have another."""
PROBED = ("top1", "top1_se", "top5", "knn_top1")
TEXTS = ("data", "backbone", "layer", "weights", "weights_sha256", "image_size", "seed")
COUNTS = ("n_train", "n_test", "n_classes")
SHARES = ("top1", "top1_se", "top5", "knn_top1", "chance")
RANDOM, PIXELS = "random", "pixels"
"""What `weights` says of a backbone that was never trained, and of raw pixels in place of features."""


class ProbeError(ValueError):
    """A probe file that cannot be taken as it is; the text says which line and column, and what was expected."""


def read_probes(path: Path) -> list[dict[str, Any]]:
    """Read the rows that `python -m extensions.self_supervised probe` wrote, with the file's name under ``file``.

    Texts stay texts; shares (0 to 1, higher is better but for ``top1_se``, a standard error) and counts are numbers,
    None where the cell is blank. Further columns are left out.

    Raises:
        ProbeError: A column is missing, or a value is not of its kind; no row of such a file is to be trusted.
        OSError: It cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            found, lines = list(reader.fieldnames or []), [(reader.line_num, line) for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"it is no table of comma-separated values in UTF-8 ({error})"
        raise ProbeError(msg) from error
    missing = [name for name in (*TEXTS, *COUNTS, *SHARES) if name not in found]
    if missing:
        msg = (
            f"it has no column {', '.join(missing)} (found {', '.join(found) or 'nothing'}); write it again by `probe`"
        )
        raise ProbeError(msg)
    return [_row(line, number) | {"file": path.name} for number, line in lines]


def contradictions(probes: Sequence[Line]) -> list[str]:
    """A sentence for each probe that stands there twice with different results."""
    seen: dict[tuple, Line] = {}
    sentences = []
    for probe in probes:
        earlier = seen.setdefault(tuple(probe[name] for name in (*TEXTS, *COUNTS)), probe)
        if [earlier[name] for name in PROBED] != [probe[name] for name in PROBED]:
            what = " ".join(filter(None, (probe["backbone"], probe["weights"], probe["layer"])))
            sentences.append(
                f"{probe['file']} has another result for {what} on {probe['data']} with seed {probe['seed']} than "
                f"{earlier['file']} (top1 {probe['top1']}, {earlier['top1']}); the later counts."
            )
        seen[tuple(probe[name] for name in (*TEXTS, *COUNTS))] = probe
    return sentences


def _row(line: dict[str, Any], number: int) -> dict[str, Any]:
    if None in line or None in line.values():  # csv's names and values for cells too many and too few
        msg = f"line {number}: it has not as many cells as there are columns; was it cut off?"
        raise ProbeError(msg)
    row: dict[str, Any] = {name: line[name].strip() for name in TEXTS}
    row["weights_sha256"] = row["weights_sha256"].lower()
    for name, expected in (("data", "the name of a data set"), ("backbone", "a name"), ("weights", "what they are")):
        if not row[name] and not (name == "backbone" and row["weights"] == PIXELS):
            msg = f"line {number}: {name} is blank, expected {expected}"
            raise ProbeError(msg)
    for name in (*COUNTS, *SHARES):
        row[name] = _number(line[name].strip(), name, number)
    return row


def _number(text: str, name: str, number: int) -> float | None:
    """The value of a cell, None for a blank one where nothing may have been measured."""
    if not text and name in ("top1_se", "top5", "knn_top1", "chance"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if name in SHARES and not 0 <= value <= 1:
        msg = f"line {number}: {name} is {text!r}, expected a share from 0 to 1"
        raise ProbeError(msg)
    if name in COUNTS and not (value >= 0 and value.is_integer()):
        msg = f"line {number}: {name} is {text!r}, expected a whole number"
        raise ProbeError(msg)
    return int(value) if name in COUNTS else value


def network_of(probe: Line) -> Network:
    """Which features were probed."""
    if probe["weights"] == PIXELS:
        return ("", PIXELS)
    weights = RANDOM if probe["weights"] == RANDOM else probe["weights_sha256"] or probe["weights"]
    return (architecture(probe["backbone"]), weights)


def architecture(backbone: str) -> str:
    """The name without the tag of its weights."""
    return backbone.partition(".")[0]


def probe_labels(probes: Sequence[Line]) -> list[str]:
    """For each probe its data, with the image size and counts in which probes of these data differ."""
    labels = []
    for probe in probes:
        alike = [other for other in probes if other["data"] == probe["data"] and other["weights"] != PIXELS]
        telling = [name for name in ("image_size", *COUNTS) if len({other[name] for other in alike}) > 1]
        labels.append(", ".join([probe["data"], *(f"{name}={probe[name]}" for name in telling)]))
    return labels


def probe_values(probes: Sequence[tuple[Line, str]]) -> dict[str, Any]:
    """Cells of one network: at two layers what was measured on each data set, means over seeds.

    Args:
        probes: Each with its label. Of two with the same seed, the later counts.
    """
    values: dict[str, Any] = {}
    for level, layer in zip(LEVELS, _levels({probe["layer"] for probe, _ in probes}), strict=True):
        values[f"{level}_layer"] = layer
        for label in {label for _, label in probes}:
            newest = {p["seed"]: p for p, where in probes if where == label and p["layer"] == layer}
            for name in PROBED:
                found = [probe[name] for probe in newest.values() if probe[name] is not None]
                if found and len(found) == len(newest):
                    values[f"{level}_{name}{AT}{label}"] = sum(found) / len(found)
    return values


def _levels(layers: set[str]) -> tuple[str | None, str | None]:
    """The layer that stands for `layer3`, and the deepest beside it."""
    ordered = sorted(layers, key=natural_order)
    if ordered == ["layer4"]:
        return None, "layer4"
    middle = "layer3" if "layer3" in layers else next(iter(ordered[-2:]), None)
    rest = [layer for layer in ordered if layer != middle]
    return middle, "layer4" if "layer4" in rest else next(iter(rest[-1:]), None)


def natural_order(text: str) -> list[tuple[int, str]]:
    """Sorts ``blocks.10`` behind ``blocks.4``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]
