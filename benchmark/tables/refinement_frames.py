"""From records of refinements to frames: which strategy finds the defects, and what removing them is worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.plan.naming import labels
from benchmark.records.canonical_experiment import CanonicalExperiment, is_location
from benchmark.records.cells import counting
from benchmark.records.record import Record

QUALITY = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")
REFINEMENT = (
    "dataset", "category", "contamination_ratio", "repeats", "detector", "strategy", "rule", "n_seeds",
    "score_auroc", "score_auroc_std", "beats_random", "n_train", "n_removed", "precision", "recall",
    *(f"{name}{part}" for name in QUALITY for part in ("", "_gain", "_gain_se", "_recovered")),
    "run_keys",
)  # fmt: skip
"""Columns of the sheet Refinement, in order."""
ROUNDS = (
    "dataset", "category", "contamination_ratio", "repeats", "detector", "strategy", "rule", "seed", "round",
    "n_train", "n_removed", "n_injected_removed", "precision", "recall", "score_auroc", *QUALITY,
)  # fmt: skip
_TEXTS = frozenset({
    "dataset", "category", "detector", "strategy", "rule", "beats_random", "run_keys", "_key", "_condition",
})  # fmt: skip


def rounds_frame(records: Sequence[Record]) -> pd.DataFrame:
    """A row per round of each finished refinement that counts, with columns `ROUNDS` and those that group it."""
    lines = []
    for record, detector in _with_detectors(records):
        found, plan = record.refinement, record.experiment.refinement
        assert found is not None
        assert plan is not None
        told = {
            "dataset": record.dataset.name,
            "category": record.dataset.category,
            "contamination_ratio": record.dataset.contamination_ratio,
            "repeats": found.repeats,
            "detector": detector,
            "strategy": plan["strategy"],
            "rule": _rule(plan),
            "seed": record.seed,
            "_key": record.key,
            "_condition": _condition(record.experiment),
        }
        lines += [told | row.on_disk() for row in found.rounds]
        n_train = found.rounds[0].n_train
        for name, auroc in found.compared.items():
            lines.append(told | {"strategy": name, "rule": "", "round": 0, "n_train": n_train, "score_auroc": auroc})
    return _numbers(pd.DataFrame(lines, columns=[*ROUNDS, "_key", "_condition"]))


def refinement_frame(rounds: pd.DataFrame) -> pd.DataFrame:
    """A row per condition, strategy and rule, means over seeds; columns `REFINEMENT`.

    - score_auroc is that of the first round's scores against what was injected.
    - beats_random: `yes` where it exceeds that of `random` by more than twice the standard error of the difference,
      paired by seed; `no` where it falls short of it by as much; `even` between; blank without a pair of seeds.
    - image_AUROC and the others are the last round's; *_gain is that less the first round's, trained on all images,
      with the standard error of its mean over seeds (blank for one seed). A refinement that was not trained on all
      images (`retrain: last`) is compared with another of the same condition and seed that was: the same detector.
    - *_recovered: the gain as a part of the oracle's, where the oracle gains more than twice its standard error; else
      blank.
    """
    lines = []
    for condition, group in _groups(rounds, ["dataset", "category", "_condition", "repeats", "detector"]):
        first = group[group["round"] == group.groupby("_key")["round"].transform("min")].set_index("seed")
        last = group[group["round"] == group.groupby("_key")["round"].transform("max")].set_index("seed")
        by_random = first[first["strategy"] == "random"]["score_auroc"].dropna()
        untouched = group[group["n_removed"] == 0].groupby("seed")[list(QUALITY)].first()
        part = [
            _line(first[_same(first, chosen)], last[_same(last, chosen)], by_random, untouched)
            | dict(zip(("strategy", "rule"), chosen, strict=True))
            | dict(zip(("dataset", "category", "_", "repeats", "detector"), condition, strict=True))
            for chosen, _ in _groups(group, ["strategy", "rule"])
        ]
        _recover(part)
        lines += part
    return _numbers(pd.DataFrame(lines, columns=list(REFINEMENT)))


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with NaN for the numbers that are not there."""
    return frame.astype({name: "float64" for name in frame if name not in _TEXTS})


def _line(first: pd.DataFrame, last: pd.DataFrame, by_random: pd.Series, untouched: pd.DataFrame) -> dict[str, Any]:
    scores = first["score_auroc"].astype(float)
    line: dict[str, Any] = {
        "contamination_ratio": first["contamination_ratio"].astype(float).mean(),
        "n_seeds": len(first),
        "score_auroc": _mean(scores),
        "score_auroc_std": scores.std(ddof=1) if scores.notna().all() else None,
        "beats_random": _against(scores, by_random) if first["strategy"].iloc[0] != "random" else None,
        "run_keys": ";".join(first["_key"]),
    }
    for name in ("n_train", "n_removed", "precision", "recall"):
        line[name] = _mean(last[name].astype(float))
    for name in QUALITY:
        line[name] = _mean(last[name].astype(float))
        gains = last[name].astype(float) - untouched[name].reindex(last.index).astype(float)
        line[f"{name}_gain"] = _mean(gains)
        line[f"{name}_gain_se"] = standard_error(gains)
    return line


def standard_error(values: pd.Series) -> float | None:
    """Of the mean; None for fewer than two values or where one is missing."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 and values.notna().all() else None


def _against(scores: pd.Series, by_random: pd.Series) -> str | None:
    paired = (scores - by_random).dropna()
    error = standard_error(paired)
    if error is None:
        return None
    return "yes" if paired.mean() > 2 * error else "no" if paired.mean() < -2 * error else "even"


def _recover(lines: list[dict[str, Any]]) -> None:
    oracle = next((line for line in lines if line["strategy"] == "oracle"), {})
    for name in QUALITY:
        most, error = oracle.get(f"{name}_gain"), oracle.get(f"{name}_gain_se")
        if most is None or not error or most <= 2 * error:
            continue
        for line in lines:
            if line[f"{name}_gain"] is not None:
                line[f"{name}_recovered"] = line[f"{name}_gain"] / most


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if len(values) and values.notna().all() else None


def _same(frame: pd.DataFrame, chosen: tuple[str, str]) -> pd.Series:
    return (frame["strategy"] == chosen[0]) & (frame["rule"] == chosen[1])


def _groups(frame: pd.DataFrame, names: list[str]) -> list[tuple[tuple, pd.DataFrame]]:
    return [(key, group) for key, group in frame.groupby(names, sort=True, dropna=False)] if len(frame) else []


def _with_detectors(records: Sequence[Record]) -> list[tuple[Record, str]]:
    """The finished record of each experiment that refines and counts, with its detector's name and settings."""
    refined = [r for r in records if r.is_finished and r.refinement and not r.experiment.is_review]
    found = list(counting(refined, by=lambda r: r.experiment_id).values())
    trained = [{"model": r.experiment.model.on_disk(), "trainer": r.experiment.trainer} for r in found]
    seen = [(record.dataset.name, record.dataset.category) for record in found]
    told = labels([_detector(record) for record in found], trained, alike=seen)
    return list(zip(found, told, strict=True))


def _detector(record: Record) -> str:
    """Model, backbone and settings, `ranking only` where nothing is trained."""
    if record.experiment.only_ranks:
        return "ranking only"
    settings = record.settings.split("strategy=")[0].rstrip(", ")  # the rest is the refinement's
    return ", ".join(filter(None, (record.detector, settings)))


def _rule(refinement: dict[str, Any]) -> str:
    """The rule with what else of the plan is not as usual."""
    rest = {
        name: value for name, value in refinement.items() if name not in ("strategy", "rule", "retrain", "compared")
    }
    return ", ".join([refinement["rule"], *(f"{name}={value}" for name, value in sorted(rest.items()))])


def _condition(experiment: CanonicalExperiment) -> str:
    """What is compared at different seeds: data as asked for (realised ratios differ a little), model and trainer."""
    arguments = experiment.data.init_args
    data = {name: value for name, value in arguments.items() if not is_location(name) and name != "seed"}
    return json.dumps([data, experiment.model.on_disk(), experiment.trainer], sort_keys=True)
