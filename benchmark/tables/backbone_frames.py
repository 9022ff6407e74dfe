"""From leaderboard and probes to one frame: what a backbone's features tell, beside what detectors find with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from benchmark.metrics.columns import AT, shown_dataset
from benchmark.plan.experiment import constructor_defaults
from benchmark.records.canonical_experiment import is_location
from benchmark.records.cells import Row
from benchmark.records.probes import (
    LEVELS,
    PIXELS,
    PROBED,
    RANDOM,
    Line,
    Network,
    architecture,
    natural_order,
    network_of,
    probe_labels,
    probe_values,
)
from benchmark.records.record import Record

_DETECTED = ("image_AUROC", "pixel_AUROC")
_LEADING = ("backbone", "weights", "pre_processing")
_TEXTS = frozenset({*_LEADING, "weights_sha256", *(f"{level}_layer" for level in LEVELS)})
_IN_ROW = frozenset({"pre_trained", "image_size", "center_crop", "category", "name"})  # told by the row or the data set
_QUIET = frozenset({"class_path", "backbone", "layers", "weights"})  # told only where nothing else tells runs apart


@dataclass(frozen=True)
class _Run:
    """A row of the leaderboard as this sheet arranges it.

    Attributes:
        source: Where its weights were found.
        dataset: As a reader sees it.
        arguments: Of model, trainer, refinement and data; a column of the sheet is told by them.
        line: Its means, of which only those of a ranked row are shown.
    """

    network: Network
    backbone: str
    source: str
    pre_processing: str
    model: str
    dataset: str
    arguments: dict[str, Any]
    line: Line

    def is_told(self, name: str) -> bool:
        """Whether an argument is usually worth a word."""
        return name in self.arguments and name not in _QUIET and not is_location(name)


def backbone_frame(rows: Sequence[tuple[Row, Line]], probes: Sequence[Line]) -> pd.DataFrame:
    """A row per backbone, weights and pre-processing; its columns are all to be shown, named ``value | of what``.

    Empty where nothing was probed and all runs have one backbone with the same weights.

    - Runs and probes meet by architecture and sha256 of the weights; random ones by architecture.
    - Probes are means over seeds, their standard error the mean of each seed's, because seeds share the test images.
      They stand at `layer3` (of a backbone without one the last but one layer that was probed, or the only one) and
      at the deepest layer where another was probed, and are the same in every row of a backbone: pre-processing is
      that of the detectors.
    - AUROCs are the leaderboard's: means over seeds and categories, the standard deviation that over seeds. Blank where
      the leaderboard has no rank, for a run is missing, failed or had not converged.

    Args:
        rows: Of the leaderboard, each with its means.
        probes: As :func:`benchmark.records.archive.load` gives them.
    """
    runs = _at_home(_runs(rows), probes)
    labels = probe_labels(probes)
    networks: dict[Network, list[int]] = {run.network: [] for run in runs}
    for number, probe in enumerate(probes):
        networks.setdefault(network_of(probe), []).append(number)
    if not probes and len(networks) < 2:
        return pd.DataFrame()
    detectors = list(zip(runs, _detectors(runs), strict=True))
    columns, lines = _columns(detectors, labels), []
    for network, numbers in networks.items():
        mine = [(run, where) for run, where in detectors if run.network == network]
        named = _named(network, [run for run, _ in mine], [probes[number] for number in numbers])
        named |= probe_values([(probes[number], labels[number]) for number in numbers])
        for pre_processing in sorted({run.pre_processing for run, _ in mine}, key=natural_order) or [""]:
            line = named | {"pre_processing": pre_processing}
            for run, where in mine:
                if run.pre_processing == pre_processing and run.line.get("rank"):
                    line |= {f"{name}{AT}{where}": run.line[name] for name in _with_std(_DETECTED)}
            lines.append(line)
    lines.sort(key=lambda line: _place(line, columns))
    frame = pd.DataFrame(lines, columns=columns).astype({name: "float64" for name in columns if name not in _TEXTS})
    kept = (*_LEADING, f"image_AUROC{AT}")  # an empty column of these tells that nothing there has a rank
    return frame[[name for name in columns if name.startswith(kept) or frame[name].notna().any()]]


def _runs(rows: Sequence[tuple[Row, Line]]) -> list[_Run]:
    """Rows of which something was run, with a backbone."""
    categories: dict[str, set[str]] = {}
    for row, _ in rows:
        categories.setdefault(row.dataset, set()).update(category for category, _ in row.cells)
    found = []
    for row, line in rows:
        records = row.counted
        if not records or not row.backbone:
            continue
        record = next((one for one in records if one.is_finished), records[0])
        told = record.experiment
        sections = (
            {"class_path": told.model.class_path} if told.model.class_path else {"settings": record.settings},
            told.model.init_args,
            told.trainer,
            told.refinement,
            {"augmentation": [part.on_disk() for part in told.augmentation] or None},
            row.experiment.data.init_args,
        )
        given = {name: value for section in sections for name, value in (section or {}).items() if value is not None}
        only = categories[row.dataset] if len(categories[row.dataset]) == 1 else {""}
        dataset = shown_dataset(row.dataset, synthetic=bool(line.get("synthetic")))
        weights = RANDOM if given.get("pre_trained") is False else line.get("weights_sha256") or ""
        found.append(
            _Run(
                network=(architecture(row.backbone), weights),
                backbone=row.backbone,
                source=(record.weights and record.weights.source) or "",
                pre_processing=_pre_processing(record),
                model=row.model,
                dataset=" ".join(filter(None, [dataset, *only])),
                arguments={name: value for name, value in given.items() if name not in _IN_ROW},
                line=line,
            )
        )
    return found


def _at_home(runs: Sequence[_Run], probes: Sequence[Line]) -> list[_Run]:
    """The runs; one that did not find the weights of its name joins those that did."""
    named = [(probe["backbone"], network_of(probe)) for probe in probes]
    named += [(run.backbone, run.network) for run in runs if "weights" not in run.arguments]
    homes = {name: network for name, network in named if network[1] not in ("", RANDOM)}
    lost = [not run.network[1] and "weights" not in run.arguments and run.backbone in homes for run in runs]
    return [replace(r, network=homes[r.backbone]) if is_lost else r for r, is_lost in zip(runs, lost, strict=True)]


def _pre_processing(record: Record) -> str:
    """Such as ``resize 224`` or ``resize 320, center crop 224``, in px."""
    model = record.experiment.model
    crop, size = model.init_args.get("center_crop"), model.init_args.get("image_size")
    if size is None and not crop:
        size = record.dataset.image_size or None  # what the network saw
    if size is None and model.class_path:
        size = constructor_defaults(model.class_path, "model").get("image_size")
    parts = ((size, "resize"), (crop, "center crop"))
    return ", ".join(f"{word} {_sides(value)}" for value, word in parts if value)


def _sides(size: Any) -> str:
    sides = [str(side) for side in size] if isinstance(size, list | tuple) else [str(size)]
    return sides[0] if len(set(sides)) == 1 else "x".join(sides)


def _detectors(runs: Sequence[_Run]) -> list[str]:
    """For each run its model, the arguments in which those of one model and data set differ, and the data set."""
    texts = []
    for run in runs:
        alike = [other for other in runs if (other.model, other.dataset) == (run.model, run.dataset)]
        names = sorted({name for other in alike for name in other.arguments if other.is_told(name)})
        names += [name for name in _hidden_differences(alike, names) if name not in names]
        telling = [name for name in names if len({str(other.arguments.get(name)) for other in alike}) > 1]
        told = [f"{name}={run.arguments[name]}" for name in telling if name in run.arguments]
        texts.append(f"{', '.join([run.model, *told])} on {run.dataset}")
    return texts


def _hidden_differences(runs: Sequence[_Run], names: Sequence[str]) -> list[str]:
    """Further arguments in which runs differ that would otherwise fall into one cell."""
    cells: dict[tuple, list[_Run]] = {}
    for run in (run for run in runs if run.line.get("rank")):
        told = tuple(str(run.arguments.get(name)) for name in names)
        cells.setdefault((run.network, run.pre_processing, told), []).append(run)
    pairs = [(cell[0].arguments, other.arguments) for cell in cells.values() for other in cell[1:]]
    return sorted({n for one, other in pairs for n in one.keys() | other.keys() if one.get(n) != other.get(n)})


def _named(network: Network, runs: Sequence[_Run], probes: Sequence[Line]) -> dict[str, Any]:
    """What the backbone and its weights are called."""
    bare, weights = network
    names = dict.fromkeys(name for name in [*(p["backbone"] for p in probes), *(r.backbone for r in runs)] if name)
    tagged = [name for name in names if name != bare]
    words = dict.fromkeys(probe["weights"] for probe in probes)
    words = words or dict.fromkeys([name.partition(".")[2] for name in tagged] or [run.source for run in runs])
    is_file = len(weights) == 64
    return {
        "backbone": "; ".join(tagged or names) if weights != RANDOM else bare,
        "weights": weights if weights in (RANDOM, PIXELS) else "; ".join(filter(None, words)) or "unknown",
        "weights_sha256": weights if is_file else None,
    }


def _columns(detectors: Sequence[tuple[_Run, str]], labels: Sequence[str]) -> list[str]:
    found = [*_LEADING]
    for level in LEVELS:
        found += [
            f"{level}_layer",
            *(f"{level}_{name}{AT}{label}" for label in dict.fromkeys(labels) for name in PROBED),
        ]
    ordered = sorted({(run.dataset, where) for run, where in detectors})
    for name in _DETECTED:
        found += [f"{part}{AT}{where}" for _, where in ordered for part in _with_std([name])]
    return [*found, "weights_sha256"]


def _with_std(names: Sequence[str]) -> list[str]:
    return [part for name in names for part in (name, f"{name}_std")]


def _place(line: Line, columns: Sequence[str]) -> tuple:
    """The best probe on the first data set first, then by name; the rows of a backbone stay together."""
    first = next((name for name in columns if name.startswith("probe_top1")), "")
    names = (line["backbone"], line["weights"], line["weights_sha256"] or "")
    return (-line.get(first, -np.inf), *names, natural_order(line["pre_processing"]))
