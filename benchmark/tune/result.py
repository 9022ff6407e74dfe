"""What a search leaves: `trials.csv`, every trial, and `best.yaml`, the default and the found settings to be run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmark.records.run_files import write_text
from benchmark.tune.lead import Lead
from benchmark.tune.trials import Trials, quality_of

BEST, TRIALS = "best.yaml", "trials.csv"
FACTS = ("detector", "trial", "is_default", "is_best", "is_chosen", "state", "image_AUROC", "separation",
         "pixel_AUROC", "latency_ms", "seconds", "n_looks", "validation")  # fmt: skip


def trials_frame(detectors: Sequence[Trials], *, validation: str) -> pd.DataFrame:
    """A row a trial, in the order in which each detector had them.

    Args:
        detectors: The trials of each.
        validation: What they were judged by, for a person.

    Returns:
        Columns `FACTS`, one for each argument that was tried, `choice` (of the best trial why it was or was not taken
        instead of the default) and `error`. Qualities are those on the images that were looked at: of a complete trial
        on all of them, of a pruned one on what it saw. None of it is a test result.
    """
    lines = []
    for trials in detectors:
        best, default, chosen, lead = trials.best(), trials.default(), trials.chosen(), trials.lead()
        for one in trials.rows:
            if "state" not in one.user_attrs:
                continue
            quality = quality_of(one)
            line: dict[str, Any] = {
                "detector": trials.name,
                "trial": one.number,
                "is_default": default is not None and one.number == default.number,
                "is_best": best is not None and one.number == best.number,
                "is_chosen": chosen is not None and one.number == chosen.number,
                **{name: one.user_attrs.get(name) for name in ("state", "seconds", "n_looks", "error")},
                **({} if quality is None else asdict(quality)),
                "validation": validation,
                **one.params,
            }
            if lead is not None and line["is_best"]:
                line["choice"] = _choice(lead)
            lines.append(line)
    tried = list(dict.fromkeys(dim.name for trials in detectors for dim in trials.space.dimensions))
    return pd.DataFrame(lines, columns=[*FACTS, *tried, "choice", "error"])


def best_models(trials: Trials) -> list[dict[str, Any]]:
    """The default and, where another is better by more than one standard error, the found settings."""
    chosen = trials.chosen()
    if chosen is None or chosen.params == trials.space.default:
        return [trials.space.model]
    return [trials.space.model, trials.space.at(chosen.params)]


def write_results(
    output: Path,
    detectors: Sequence[tuple[Trials, dict[str, Any]]],
    *,
    name: str,
    data: Sequence[dict[str, Any]],
    seeds: Sequence[int],
    kept: Mapping[str, Any],
    validation: str,
    command: str,
) -> list[Path]:
    """Write both files, whole or not at all.

    Args:
        output: Folder.
        detectors: The trials of each, and the arguments of its trainer.
        name: Of the sweep that `best.yaml` asks for.
        data: Data sets as they are tested, without the images that were looked at.
        seeds: Of the runs.
        kept: Other keys of the configuration that a run takes, such as `requirement`.
        validation: What the settings were chosen by, for a person.
        command: That made them.
    """
    write_text(output / TRIALS, trials_frame([one for one, _ in detectors], validation=validation).to_csv(index=False))
    models = []
    lines = []
    for trials, trainer in detectors:
        found = best_models(trials)
        models += [{**model, **({"trainer": trainer} if trainer else {})} for model in found]
        lines += [f"# {line}" for line in told(trials)]
    document = {
        "name": name,
        "keep": "best",
        "seeds": list(seeds),
        **kept,
        "data": [plain(one) for one in data],
        "models": plain(models),
    }
    head = [
        f"# Settings found by `{command}`: each detector as it was given and, below, as it was found.",
        f"#   workbench run --config {BEST} --output OUTPUT",
        f"# Chosen by: {validation}.",
        *lines,
        "# Figures of the images that were looked at, too good by the choice itself; the test set says the rest.",
    ]
    text = yaml.safe_dump(document, sort_keys=False, width=110, default_flow_style=None, allow_unicode=True)
    write_text(output / BEST, "\n".join(head) + "\n" + text)
    return [output / BEST, output / TRIALS]


def told(trials: Trials) -> list[str]:
    """What the search of a detector found, a line each for the default, the best and which of them is taken."""
    best, default = trials.best(), trials.default()
    rows = [one for one in trials.rows if "state" in one.user_attrs]
    n_complete = sum(one.user_attrs["state"] == "complete" for one in rows)
    lines = [f"{trials.name}: {len(rows)} of {trials.space.n_settings} settings tried, {n_complete} to their end"]
    for what, one in (("default", default), ("best trial", best)):
        quality = None if one is None else quality_of(one)
        if (
            quality is None
            or one is None
            or (what == "best trial" and default is not None and one.number == default.number)
        ):
            continue
        given = ", ".join(f"{key}={value}" for key, value in one.params.items())
        pixel = "" if quality.pixel_AUROC is None else f", pixel AUROC {quality.pixel_AUROC:.3f}"
        latency = (
            "" if quality.latency_ms is None or math.isnan(quality.latency_ms) else f", {quality.latency_ms:.0f} ms"
        )
        lines.append(f"  {what}: image AUROC {quality.image_AUROC:.4f}{pixel}{latency} ({given})")
    lead = trials.lead()
    if lead is not None:
        lines.append(f"  {_choice(lead)}")
    elif default is not None:
        lines.append("  nothing better than the default was found")
    if default is None:
        lines.append("  the default was not tried yet: a larger --budget does")
    return lines


def _choice(lead: Lead) -> str:
    return f"{'it is taken' if lead.is_enough else 'the default stays'}: {lead.told}"


def plain(value: Any) -> Any:
    """As YAML can hold it."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
