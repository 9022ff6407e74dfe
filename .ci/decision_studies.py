"""What the statistics are worth on real records: `make statistics` writes the tables under results/statistics/.

`third.csv`: the best detector by a third of the test images, is it the best on the rest, with and without the tie mark?
`calibration.csv`: what ten, thirty or a hundred labelled images are worth to a threshold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.metrics.folds import stratified_folds
from benchmark.metrics.image import image_metrics
from benchmark.records.archive import load
from benchmark.records.cells import group_runs
from benchmark.statistics.comparison import compare, holm, rank_ranges
from benchmark.statistics.requirement import Requirement
from benchmark.statistics.sample import Sample
from benchmark.statistics.thresholds import fit_thresholds
from benchmark.tables.row_samples import row_samples
from benchmark.tables.stored_scores import StoredScores
from extensions.runtime.atomic_write import write_whole

N_SPLITS = 60
N_DRAWS = 1000
N_GOOD = 30  # of the labelled images; how many defective ones there are varies
Detectors = dict[str, Sample]


def detectors(output: Path) -> Iterator[tuple[str, Detectors]]:
    """By data set and category, every detector with a score of each test image; at least two."""
    archive, stored = load(output), StoredScores(output)
    found: dict[str, Detectors] = {}
    for row in group_runs(archive.records, []):
        for category in sorted({category for category, _ in row.cells}):
            samples = row_samples(row, [category], stored)
            if samples is not None and 0 < samples[0].n_defective < len(samples[0].labels):
                where = "/".join(filter(None, (row.dataset, category)))
                label = " ".join(filter(None, (row.model, row.backbone, row.settings)))
                found.setdefault(where, {})[label] = samples[0]
    for where, rows in sorted(found.items()):
        first = next(iter(rows.values()))
        alike = {label: sample for label, sample in rows.items() if sample.ids == first.ids}
        if len(alike) > 1:
            yield where, alike


def part(sample: Sample, chosen: np.ndarray) -> Sample:
    """Some of the test images."""
    ids = tuple(np.asarray(sample.ids)[chosen])
    labels = sample.labels[chosen]
    folds = stratified_folds(labels, seed=0, ids=ids)
    return Sample(labels=labels, scores=sample.scores[:, chosen], folds=folds, ids=ids)


def auroc(sample: Sample) -> float:
    """Mean over seeds of image AUROC."""
    found = [image_metrics(sample.labels, scores, sample.folds)["image_AUROC"] for scores in sample.scores]
    return float(np.mean([value for value in found if value is not None]))


def third(where: str, rows: Detectors, *, n_splits: int) -> dict[str, object]:
    """How often the best by a third of the test images, drawn within each label, is the best on the rest."""
    rng = np.random.default_rng(0)
    first = next(iter(rows.values()))
    hits, tied, sizes, alone, right_alone, lost = 0, 0, [], 0, 0, []
    for _ in range(n_splits):
        order = rng.permutation(len(first.labels))
        chosen = np.zeros(len(first.labels), dtype=bool)
        for label in (0, 1):
            members = order[first.labels[order] == label]
            chosen[members[: max(2, round(len(members) / 3))]] = True
        seen = {label: part(sample, chosen) for label, sample in rows.items()}
        rest = {label: auroc(part(sample, ~chosen)) for label, sample in rows.items()}
        means = {label: auroc(sample) for label, sample in seen.items()}
        guessed, truth = max(means, key=means.__getitem__), max(rest, key=rest.__getitem__)
        marked = not_told_apart(seen, means)
        hits += rest[guessed] == rest[truth]
        tied += any(rest[label] == rest[truth] for label in marked)
        sizes.append(len(marked))
        alone += len(marked) == 1
        right_alone += len(marked) == 1 and rest[guessed] == rest[truth]
        lost.append(rest[truth] - rest[guessed])
    return {
        "data": where,
        "detectors": len(rows),
        "seeds": max(sample.n_seeds for sample in rows.values()),
        "good": first.n_good,
        "defective": first.n_defective,
        "best_is_best": hits / n_splits,
        "best_is_among_tied": tied / n_splits,
        "tied": float(np.mean(sizes)),
        "one_alone": alone / n_splits,
        "best_is_best_when_alone": right_alone / alone if alone else None,
        "AUROC_lost": float(np.mean(lost)),
        "splits": n_splits,
    }


def not_told_apart(seen: Detectors, means: dict[str, float]) -> list[str]:
    """The detectors whose place may be the first."""
    pairs = list(combinations(seen, 2))
    adjusted = holm([compare([seen[a]], [seen[b]], metric="image_AUROC").p for a, b in pairs])
    apart = {frozenset(pair): p < 0.05 for pair, p in zip(pairs, adjusted, strict=True)}
    places = rank_ranges(list(seen), [means[label] for label in seen], told_apart=apart)
    return [label for label, place in places.items() if place.split("–")[0] == "1"]


def calibration(where: str, label: str, sample: Sample, *, n_draws: int) -> Iterator[dict[str, object]]:
    """Thresholds from some labelled images, judged on all others: means and the middle 80 % over the draws."""
    rng = np.random.default_rng(0)
    good, defective = (np.flatnonzero(sample.labels == value) for value in (0, 1))
    asked = {
        "highest F1": None,
        "at most 5 % false alarms": Requirement(max_false_alarms=0.05),
        "at most 10 % missed": Requirement(max_missed=0.10),
    }
    for n in (0, 10, 30, 100):
        if len(good) / 2 < N_GOOD or n > len(defective) / 2:
            continue
        for told, requirement in asked.items():
            if not n and told != "at most 5 % false alarms":
                continue
            missed, alarms = [], []
            for _ in range(n_draws):
                used = np.concatenate(
                    [rng.choice(good, N_GOOD, replace=False), rng.choice(defective, n, replace=False)]
                )
                scores = sample.scores[rng.integers(sample.n_seeds)]
                fitted = fit_thresholds(sample.labels[used], scores[used], requirement, on="calibration images")
                rest = np.setdiff1d(np.arange(len(scores)), used)
                called = scores[rest] >= (np.inf if fitted.lower is None else fitted.lower)
                missed.append(float(1 - called[sample.labels[rest] == 1].mean()))
                alarms.append(float(called[sample.labels[rest] == 0].mean()))
            yield {
                "data": where,
                "detector": label,
                "good": N_GOOD,
                "defective": n,
                "threshold": told,
                **spread("missed", missed),
                **spread("false_alarms", alarms),
                "draws": n_draws,
            }


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Mean and the bounds of the middle 80 %."""
    low, high = np.quantile(values, [0.1, 0.9])
    return {name: float(np.mean(values)), f"{name}_p10": float(low), f"{name}_p90": float(high)}


def main() -> int:
    """Write both tables from the records of some output folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="output folders of `workbench run`")
    parser.add_argument("--to", type=Path, default=Path("results/statistics"), help="folder of the tables")
    parser.add_argument("--splits", type=int, default=N_SPLITS, help="of the test images")
    options = parser.parse_args()
    thirds, calibrations = [], []
    for output in options.records:
        for where, rows in detectors(output):
            thirds.append(third(where, rows, n_splits=options.splits))
            print(*(f"{value:.3g}" if isinstance(value, float) else value for value in thirds[-1].values()))
            best = max(rows, key=lambda label: auroc(rows[label]))
            calibrations += calibration(where, best, rows[best], n_draws=N_DRAWS)
    for name, lines in (("third", thirds), ("calibration", calibrations)):
        text = pd.DataFrame(lines).to_csv(index=False, float_format="%.4g", lineterminator="\n")
        write_whole(options.to / f"{name}.csv", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
