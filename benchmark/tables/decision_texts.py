"""The sentences of a decision: which detector, why, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.statistics.operating_point import OperatingPoint
from benchmark.statistics.requirement import Requirement
from benchmark.tables.certainty import told_count, told_interval
from benchmark.tables.choose import Choice, breaks
from benchmark.tables.judged_row import JudgedRow

SMALLER, FASTER = 1.5, 1.25  # times; less is not worth a sentence
N_NAMED = 2
CHANCE = 0.5


def recommendation(choice: Choice, *, is_drawn: bool) -> tuple[str, ...]:
    """Two sentences at most: which row, what it does and why it; which cannot be told from it."""
    best = choice.best
    where = "On drawn defects, from which real ones may differ, " if is_drawn else ""
    others = choice.n_ranked - 1
    first = f"{where}{best.label} {_reason(choice)}" + (f": {_per_thousand(best.point)}." if best.point else ".")
    if not others:
        return (first, "It is the only detector with a rank, so nothing tells whether another is better.")
    if choice.ties:
        return (first, _tied(choice))
    each = "the other one" if others == 1 else f"each of the other {others}"
    return (first, f"On the same test images it is told apart from {each}.")


def how_sure(choice: Choice) -> tuple[str, ...]:
    """Intervals, counts, seeds and what so few images cannot show."""
    found = tuple(_sure(choice.best))
    if choice.n_ranked < 2:
        return found
    chosen = (
        f"It was chosen among {choice.n_ranked} detectors by these test images, so its own numbers are likely to be a "
        "little better than on new ones."
    )
    return (*found, chosen)


def advantages(best: JudgedRow, other: JudgedRow) -> dict[str, float]:
    """How many times smaller and faster the other is, by `smaller` and `faster`, where that is worth a sentence."""
    found = {}
    size, other_size = best.number("model_bytes"), other.number("model_bytes")
    if size and other_size and size / other_size >= SMALLER:
        found["smaller"] = size / other_size
    time, other_time = best.number("latency_ms"), other.number("latency_ms")
    session = best.line.get("latency_session")
    is_one = session == other.line.get("latency_session") and session not in (None, "alone")
    is_quiet = not best.line.get("latency_note") and not other.line.get("latency_note")
    if time and other_time and is_one and is_quiet and time / other_time >= FASTER:
        found["faster"] = time / other_time
    return found


def set_for(requirement: Requirement) -> str:
    """How a threshold was set, such as ``set for at most 5 % false alarms``."""
    return f"set for {requirement.told}"


def _reason(choice: Choice) -> str:
    """Why this row, such as ``misses the fewest defects of 4 ranked detectors``."""
    best, point = choice.best, choice.best.point
    of = f" of {choice.n_ranked} ranked detectors" if choice.n_ranked > 1 else ""
    if point is None or not choice.by_requirement:
        has = f"has the highest image AUROC{of}" if of else "has an image AUROC of"
        auroc = best.number("image_AUROC") or 0.0
        has += f" ({auroc:.3f})" if of else f" {auroc:.3f}"
        return has if point is None else f"{has}; {set_for(point.requirement)}"
    asked = point.requirement
    if asked.cost is not None:
        return f"has the least expected cost{of}, {point.cost or 0:,.1f} for 1,000 parts"
    what = "misses the fewest defects" if asked.max_false_alarms is not None else "has the fewest false alarms"
    if asked.has_band:
        what = f"leaves the fewest parts unsure ({100 * (point.unsure or 0):.1f} %)"
    kept = f"{set_for(asked)}, which it does not keep on the test images" if breaks(point) else set_for(asked)
    return f"{what}{of} {kept}"


def _per_thousand(point: OperatingPoint) -> str:
    return (
        f"of 1,000 defective parts about {thousandths(point.missed, point.n_defective)} would pass and of 1,000 good "
        f"parts about {thousandths(point.false_alarms, point.n_good)} would be rejected"
    )


def thousandths(count: float, n: int) -> str:
    """A count as one of 1,000."""
    return f"{round(1000 * count / n):,}" if n else "an unknown number"


def _tied(choice: Choice) -> str:
    """Which cannot be told from the best; first those that are smaller or faster and, compared alone, as good."""
    best, ties, alike = choice.best, choice.ties, {id(row) for row in choice.alike}
    found = {id(row): advantages(best, row) for row in ties}
    named: list[JudgedRow] = []
    near = [row for row in ties if id(row) in alike]
    for name in ("smaller", "faster"):
        better = [row for row in near if name in found[id(row)]]
        named += [row for row in [max(better, key=lambda r: found[id(r)][name], default=None)] if row is not None]
    named = list(dict.fromkeys(named)) or [*near, *ties][:1]
    told = []
    for row in named[:N_NAMED]:
        better_at = " and ".join(f"{_times(ratio)} {name}" for name, ratio in found[id(row)].items())
        told.append(f"{row.label} cannot be told from it" + (f" and is {better_at}" if better_at else ""))
    rest = len(ties) - len(told)
    more = f"; nor can {rest} other{'s' if rest > 1 else ''}" if rest else ""
    return f"{'; '.join(told)}{more}."


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 3 else f"{ratio:.1f} times"


def _sure(best: JudgedRow) -> Iterable[str]:
    point = best.point
    low, high = best.number("image_AUROC_low"), best.number("image_AUROC_high")
    if best.samples and low is not None and high is not None:
        n_defective, n_good = (sum(getattr(one, name) for one in best.samples) for name in ("n_defective", "n_good"))
        yield (
            f"Image AUROC {best.number('image_AUROC'):.3f}, 95 % interval {told_interval(low, high)}, from "
            f"{n_defective} defective and {n_good} good test images."
        )
        if low <= CHANCE:
            yield (
                f"That is {'worse than' if high < CHANCE else 'not shown to be better than'} chance "
                f"(image AUROC {CHANCE}): it is no detector for these defects yet."
            )
    if point is None and best.samples:
        yield (
            "Too few images of a kind to fit a threshold on others than those it judges, or (with cross_conformal) no "
            "training images that were scored in folds, so nothing tells what would be missed."
        )
    elif point is None:
        yield "The scores of the test images are not there, so nothing tells how sure these numbers are."
    else:
        missed, alarms = point.missed_interval, point.false_alarm_interval
        yield (
            f"Missed {told_count(point.missed, point.n_defective)}, false alarms "
            f"{told_count(point.false_alarms, point.n_good)} ({set_for(point.requirement)}): of 1,000 defects between "
            f"{1000 * missed[0]:.0f} and {1000 * missed[1]:.0f} would pass, of 1,000 good parts between "
            f"{1000 * alarms[0]:.0f} and {1000 * alarms[1]:.0f} would be rejected (95 %)."
        )
    n_seeds, spread = int(best.number("n_seeds") or 0), best.number("image_AUROC_std")
    if n_seeds == 1:
        yield "One seed: how much the result changes with another is not known; three are needed."
    elif spread is not None:
        yield f"Over {n_seeds} seeds image AUROC varies by ± {spread:.3f} (standard deviation), beside the interval."
    if best.line.get("caution"):
        yield f"{best.line['caution']}."
    if point is not None and point.note:
        yield f"Threshold: {point.note}."
