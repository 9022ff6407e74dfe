"""Thresholds from a requirement, and what they do on images that they were not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmark.metrics.image import best_threshold
from benchmark.statistics.conformal import Bound, above_good, below_defective, smallest_rate
from benchmark.statistics.costs import expected_cost, least_cost
from benchmark.statistics.operating_point import OperatingPoint
from benchmark.statistics.part_ends import part_ends
from benchmark.statistics.rates import Interval, binomial_interval
from benchmark.statistics.requirement import Requirement, percent
from benchmark.statistics.sample import Sample

GOOD_ALONE = Requirement(max_false_alarms=0.01)
"""What a threshold keeps where nothing is required and no defect is known."""


@dataclass(frozen=True, kw_only=True)
class FittedThresholds:
    """Thresholds on raw scores: below `lower` good, from `upper` on defective, between them unsure.

    Attributes:
        lower: None where the images do not allow one; `source` says why.
        upper: Equal to `lower` with one threshold.
        source: How and on what they were fitted.
        promise: One sentence: what they keep on new images, from how many, and what they cannot promise.
        supported: Whether the images are enough for the rates asked for; no number of images supports a rate of 0, and
            none is promised for the highest F1 or the least cost.
    """

    lower: float | None
    upper: float | None
    source: str
    promise: str
    supported: bool


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Images of one category that thresholds alone were fitted on.

    Attributes:
        labels: ``(M,)``, 0 good, 1 defective.
        scores: ``(S, M)`` raw, a line a seed, in the order of the seeds of the test images' `Sample`.
        groups: ``(M,)``, the part that each image is of; None where each is a part.
    """

    labels: np.ndarray
    scores: np.ndarray
    groups: tuple[str, ...] | None = None


def fit_thresholds(
    labels: np.ndarray,
    scores: np.ndarray,
    requirement: Requirement | None,
    *,
    on: str = "test images",
    groups: Sequence[str] | None = None,
    units: str = "images",
) -> FittedThresholds:
    """Thresholds that keep a requirement, fitted on all these images.

    Rates are kept by split-conformal ranks (`benchmark.statistics.conformal`), so ties and small numbers break no
    promise. With both rates, `lower` keeps the missed and `upper` the false alarms; where one threshold keeps both it
    lies in the middle of all that do. A cost is the least on these images; of equal ones the highest threshold.
    Without a requirement it is that of the highest F1, or at most 1 % false alarms where all images are good.

    Images of one part are not exchangeable with those of another, parts are: with groups a rate is kept by the highest
    good and the lowest defective image of each part, so that it holds for the images and for the parts.

    Args:
        labels: ``(N,)``, 0 good, 1 defective.
        scores: ``(N,)`` raw scores, higher is more anomalous.
        requirement: None for none.
        on: What the images are, such as `test images`.
        groups: ``(N,)``, the part that each image is of; None where each is a part.
        units: What has a score: images, or parts whose images were judged as one.

    Raises:
        ValueError: Not as many scores as labels, or a score that is NaN or infinite.
    """
    truth, values = np.asarray(labels).astype(bool), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or not np.isfinite(values).all():
        msg = f"thresholds need a finite score of each image, found {values.shape} scores of {truth.shape} images"
        raise ValueError(msg)
    if requirement is None and len(truth) and not truth.any():
        requirement = GOOD_ALONE
    lacking = _lacking(truth, requirement)
    if lacking is not None:
        source = " ".join(filter(None, ("none, for there are no", lacking, on)))
        return FittedThresholds(lower=None, upper=None, source=source, promise="", supported=False)
    if requirement is None:
        best = best_threshold(truth, values)
        promise = f"no rate is promised: the threshold has the highest F1 on {_counted(truth, on)}"
        return FittedThresholds(
            lower=best, upper=best, source=f"maximal F1 on all labelled {on}", promise=promise, supported=False
        )
    if requirement.cost is not None:
        cheapest = least_cost(truth, values, requirement.cost)
        promise = f"no rate is promised: the threshold costs least on {_counted(truth, on)}"
        source = f"{requirement.told}, on {_counted(truth, on)}"
        return FittedThresholds(lower=cheapest, upper=cheapest, source=source, promise=promise, supported=False)
    if groups is None:
        return _keeping_rates(truth, values, requirement, on, units, scores=values)
    ends = part_ends(truth, values, groups)
    return _keeping_rates(truth[ends], values[ends], requirement, f"parts of {on}", "parts", scores=values)


def fit_cross_conformal(
    scores: np.ndarray, requirement: Requirement, *, groups: Sequence[str] | None = None, units: str = "images"
) -> FittedThresholds:
    """The threshold from training images alone, each scored by a model that was fitted without its fold.

    It is the conformal rank of these scores, as in cross-validation and the jackknife. That is no guarantee: the model
    on the line was fitted on all images, and not those of the folds. For the rule that asks the models of the folds
    themselves at most twice the rate is guaranteed, nearly: CV+ of Barber, Candes, Ramdas, Tibshirani (2021),
    Predictive Inference with the Jackknife+, https://doi.org/10.1214/20-AOS1965. More images to fit on mostly lower
    the scores of new good images, so the rate is mostly below the one asked for.

    Args:
        scores: ``(N,)`` raw scores of good images, higher is more anomalous.
        requirement: With `max_false_alarms` and `cross_conformal`.
        groups: As for `fit_thresholds`.
        units: Likewise.
    """
    on = f"training {units}"
    fitted = fit_thresholds(np.zeros(len(scores)), scores, requirement, on=on, groups=groups, units=units)
    rate, n_folds = requirement.max_false_alarms, requirement.cross_conformal
    if fitted.lower is None or rate is None:
        return fitted
    expected = f"about {percent(rate)} false alarms are expected and none guaranteed" if fitted.supported else None
    promise = (
        f"{expected or fitted.promise}: {len(scores)} training {units} were scored by models of {n_folds} folds that "
        "had not seen them, and the model on the line was fitted on all"
    )
    counted = f"{len(scores)} good training {units}" + (f" of {len(set(groups))} parts" if groups is not None else "")
    source = f"cross-conformal in {n_folds} folds: {requirement.told}, on {counted}"
    return replace(fitted, source=source, promise=promise)


def _keeping_rates(
    truth: np.ndarray,
    values: np.ndarray,
    requirement: Requirement,
    on: str,
    units: str,
    *,
    scores: np.ndarray,
) -> FittedThresholds:
    """Thresholds by the rank of `values`, with room between all `scores`, and the sentence on what they promise."""
    bounds: list[Bound] = []
    promises: list[str] = []
    if (rate := requirement.max_missed) is not None:
        bounds.append(below_defective(values[truth], rate, scores=scores))
        promises.append(_promise(bounds[-1], rate, "defective", units, "missed"))
    if (rate := requirement.max_false_alarms) is not None:
        bounds.append(above_good(values[~truth], rate, scores=scores))
        promises.append(_promise(bounds[-1], rate, "good", units, "false alarms"))
    lower, upper = bounds[0].threshold, bounds[-1].threshold
    if lower > upper:  # every threshold from `upper` to `lower` keeps both rates
        lower = upper = upper / 2 + lower / 2
    if requirement.has_band and lower == upper:
        promises.append("one threshold does for both, so nothing is unsure")
    how = "conformal" if truth.any() else "conformal quantile"  # of good images alone, as its readers look for
    return FittedThresholds(
        lower=lower,
        upper=upper,
        source=f"{how}: {requirement.told}, on {_counted(truth, on)}",
        promise="; ".join(promises),
        supported=all(bound.supported for bound in bounds),
    )


def _promise(bound: Bound, rate: float, kind: str, units: str, errors: str) -> str:
    if bound.supported:
        kept = f"at most {percent(rate)} {errors} on average, for parts like the {bound.n} {kind} {units}"
        return f"{kept} (a new kind of defect is not promised)" if kind == "defective" else kept
    lowest = percent(smallest_rate(bound.n), digits=2)
    counted = units if bound.n != 1 else units[:-1]
    return f"with {bound.n} {kind} {counted} at least {lowest} {errors} must be allowed for"


def operating_point(
    samples: Sequence[Sample], requirement: Requirement, *, calibration: Sequence[Calibration] | None = None
) -> OperatingPoint | None:
    """What a detector does at a requirement, on images that its thresholds never saw.

    Each category and seed has thresholds of its own. Without calibration images each half of the test images
    (`Sample.folds`) is judged by those of the other half. Counts are summed over categories and averaged over seeds.
    A defective image below the lower threshold is missed, a good one from the upper one on is a false alarm; the unsure
    share is that of the images between them, of both kinds together. Intervals have as many trials as there are parts
    with such images.

    Args:
        samples: Test images, one a category.
        requirement: What the thresholds keep.
        calibration: Images that thresholds are fitted on instead, one a category; all test images are judged.

    Returns:
        None where a half, or the calibration images of a category, lacks a kind of image that the requirement needs, or
        the scores of the training images are not given that a cross-conformal threshold needs.

    Raises:
        ValueError: Not as many calibrations, or seeds of one, as there are samples and seeds of them.
    """
    if calibration is not None and [len(c.scores) for c in calibration] != [len(s.scores) for s in samples]:
        msg = "calibration images must be of the same categories and seeds as the test images"
        raise ValueError(msg)
    if requirement.cross_conformal is not None and calibration is None:
        return None  # its threshold comes from training images
    counts = np.zeros(3)  # missed, false alarms, unsure
    fitted: list[FittedThresholds] = []
    for place, sample in enumerate(samples):
        own = None if calibration is None else calibration[place]
        judged = [_judge(sample, seed, requirement, own) for seed in range(len(sample.scores))]
        counts += np.mean([numbers for numbers, _ in judged], axis=0)
        fitted += [one for _, used in judged for one in used]
    if any(one.lower is None for one in fitted):
        return None
    missed, false_alarms, unsure = map(float, counts)
    n_defective, n_good = sum(one.n_defective for one in samples), sum(one.n_good for one in samples)
    cost = requirement.cost
    expense = None
    if cost and n_defective and n_good:
        expense = float(expected_cost(missed / n_defective, false_alarms / n_good, cost, parts=1000))
    lacking = "" if cost else next((one.promise for one in fitted if not one.supported), "")
    if lacking and calibration is None:
        lacking += " (each half of the test images is judged by a threshold of the other)"
    return OperatingPoint(
        requirement=requirement,
        missed=missed,
        n_defective=n_defective,
        missed_interval=_interval(missed, n_defective, sum(one.n_units[1] for one in samples)),
        false_alarms=false_alarms,
        n_good=n_good,
        false_alarm_interval=_interval(false_alarms, n_good, sum(one.n_units[0] for one in samples)),
        unsure=unsure / (n_defective + n_good) if requirement.has_band else None,
        cost=expense,
        supported=not lacking,
        note=lacking,
    )


def _interval(count: float, n: int, n_units: int) -> Interval:
    """Of a rate: as many trials as there are parts, for images of one part may all err alike."""
    return binomial_interval(count, n) if n_units == n else binomial_interval(min(count / n, 1) * n_units, n_units)


def _judge(
    sample: Sample, seed: int, requirement: Requirement, calibration: Calibration | None
) -> tuple[np.ndarray, list[FittedThresholds]]:
    """How many are missed, false alarms and unsure under one seed, and the thresholds that judged."""
    truth, values, folds = sample.labels.astype(bool), sample.scores[seed], sample.folds
    if calibration is not None:
        one = fit_thresholds(
            calibration.labels,
            calibration.scores[seed],
            requirement,
            on="calibration images",
            groups=calibration.groups,
        )
        return _counts(truth, values, one), [one]
    parts = None if sample.groups is None else np.array(sample.groups)
    used = [
        fit_thresholds(
            truth[folds != fold],
            values[folds != fold],
            requirement,
            on="images of the other half",
            groups=None if parts is None else parts[folds != fold].tolist(),
        )
        for fold in (0, 1)
    ]
    counts = [_counts(truth[folds == fold], values[folds == fold], used[fold]) for fold in (0, 1)]
    return np.sum(counts, axis=0), used


def _counts(truth: np.ndarray, values: np.ndarray, fitted: FittedThresholds) -> np.ndarray:
    if fitted.lower is None or fitted.upper is None:
        return np.zeros(3)
    good, defective = values < fitted.lower, values >= fitted.upper  # as called
    return np.array([(truth & good).sum(), (~truth & defective).sum(), (~good & ~defective).sum()])


def _lacking(truth: np.ndarray, requirement: Requirement | None) -> str | None:
    """The kind of image without which no threshold can be fitted; empty where there are no images, None for none."""
    if not len(truth):
        return ""
    needs_good = requirement is None or requirement.max_missed is None or requirement.has_band
    needs_defective = requirement is None or requirement.max_false_alarms is None or requirement.has_band
    if needs_good and truth.all():
        return "good"
    return "defective" if needs_defective and not truth.any() else None


def _counted(truth: np.ndarray, on: str) -> str:
    n_defective = int(truth.sum())
    kinds = {"good": len(truth) - n_defective, "defective": n_defective}
    return f"{' and '.join(f'{n} {kind}' for kind, n in kinds.items() if n)} {on}"
