"""What would make a decision surer: how many more images, and seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmark.statistics.operating_point import OperatingPoint
from benchmark.statistics.rates import binomial_interval, none_seen_bound
from benchmark.statistics.requirement import percent
from benchmark.tables.choose import Choice
from benchmark.tables.differences import RANKED_BY, Compared
from benchmark.tables.judged_row import JudgedRow

MOST = 100_000  # images; more are not worth a sentence
SEEDS = 3


def next_steps(choice: Choice, compared: Sequence[Compared], *, is_required: bool) -> tuple[str, ...]:
    """Sentences, the most useful first.

    Args:
        choice: Of a data set.
        compared: Its pairs.
        is_required: Whether the line's requirement is known; else the first step is to say it.
    """
    best = choice.best
    found: list[str] = []
    if best.point is not None:
        found += _images(best.point) if is_required else _halved(best.point)
    if choice.ties:
        found += _apart(best, choice.ties[0], compared)
    if len(choice.alike) < len(choice.ties):
        n_worse = len(choice.ties) - len(choice.alike)
        found.append(
            f"{n_worse} of the detectors that cannot be told from it among {choice.n_ranked} "
            f"{'is' if n_worse == 1 else 'are'} worse when compared with it alone: compare fewer, on new test images."
        )
    if (best.number("n_seeds") or 0) < SEEDS:
        found.append(f"Run {SEEDS} seeds (seeds: [0, 1, 2]).")
    return tuple(found)


def images_to_show(rate: float) -> int:
    """How many images without an error show that a rate of errors is not exceeded, see `none_seen_bound`."""
    n = max(1, math.ceil(math.log(0.05) / math.log1p(-rate))) if rate < 1 else 1
    return n if none_seen_bound(n) <= rate + 1e-12 else n + 1


def _images(point: OperatingPoint) -> Iterable[str]:
    """How many more good and defective images show the rates asked for."""
    asked = point.requirement
    rows = (
        (asked.max_false_alarms, "good", "false alarms", point.false_alarms, point.n_good),
        (asked.max_missed, "defective", "missed defects", point.missed, point.n_defective),
    )
    for rate, kind, what, count, n in rows:
        if rate is None:
            continue
        if not rate:
            yield _none_allowed(kind, what)
            continue
        wanted = _wanted(count, n, rate)
        if wanted is None:
            yield (
                f"The test images have {percent(count / n if n else 1.0)} {what}, so more of them will hardly show at "
                f"most {percent(rate)}: allow more or find a better detector."
            )
        elif wanted > n:
            how = "without one" if not count else "if they go on as often as now"
            yield (
                f"To show at most {percent(rate)} {what} takes {wanted:,} {kind} test images, {how}: {wanted - n:,} "
                "more."
            )


def _none_allowed(kind: str, what: str) -> str:
    known = "calibration_dir takes them without testing on them"
    return (
        f"No number of images shows that there will be no {what.removesuffix('s')} at all. A threshold beyond all of n "
        f"known {kind} images has about 1 of n + 1 {what}: 99 for at most 1 %, 999 for at most 0.1 % ({known})."
    )


def _halved(point: OperatingPoint) -> Iterable[str]:
    times = (
        4 if point.missed or point.false_alarms else 2
    )  # without an error the interval is narrower by n, not its root
    yield (
        f"Half as wide an interval takes {'four times' if times == 4 else 'twice'} as many test images: "
        f"{(times - 1) * point.n_defective:,} more defective and {(times - 1) * point.n_good:,} more good ones."
    )
    yield (
        "Say what the line needs, such as requirement: {max_false_alarms: 0.02} in the configuration or "
        "--requirement max_false_alarms=0.02 of workbench table; here it is unknown."
    )


def _wanted(count: float, n: int, rate: float) -> int | None:
    """How many images show a rate where errors go on as often as they do; None where they are too many for it."""
    if not count:
        return images_to_show(rate)
    share = count / n if n else 1.0
    if share >= rate:
        return None
    wanted = n
    while wanted < MOST and binomial_interval(share * wanted, wanted)[1] > rate:
        wanted = math.ceil(1.1 * wanted)
    return wanted if wanted < MOST else None


def _apart(best: JudgedRow, other: JudgedRow, compared: Sequence[Compared]) -> Iterable[str]:
    """How many test images tell two rows apart by image AUROC, where z grows with their square root."""
    from scipy.stats import norm

    pair = next((one for one in compared if {one.first, one.second} == {best, other} and _ranks(one)), None)
    if pair is None or pair.found is None:
        return
    z = float(norm.isf(pair.found.p / 2))
    n = pair.found.n_images
    wanted = math.inf if z <= 0 else n * (1.96 / z) ** 2
    if not pair.found.difference:
        yield (
            f"{best.label} and {other.label} have the same image AUROC on these test images: only more, or more "
            "difficult, ones tell them apart."
        )
    elif wanted >= MOST:
        yield f"{best.label} and {other.label} are as good as equal: more test images will hardly tell them apart."
    elif wanted > n:
        yield (
            f"To tell {best.label} from {other.label} by image AUROC takes about {_round(wanted):,} test images like "
            f"these, where there are {n:,}."
        )


def _ranks(one: Compared) -> bool:
    return one.found is not None and one.found.metric == RANKED_BY and not math.isnan(one.found.p)


def _round(number: float) -> int:
    """To two digits, upwards."""
    step = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / step) * step
