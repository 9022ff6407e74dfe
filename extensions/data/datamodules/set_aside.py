"""Which defects are set aside for the training mixture, and in which order they are injected."""

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from extensions.data.splits import content_hash_rank

_STEPS = 1000  # a largest possible ratio is named with three decimals


def n_injected(ratio: float, n_normal: int) -> int:
    """Defects beside ``n_normal`` normal images, so that they are ``ratio`` of the mixture."""
    return round(ratio / (1 - ratio) * n_normal)


def kind_of_each(defects: pd.DataFrame) -> dict[str, str]:
    """Content (a hash) to kind of the defects that carry one kind only; of columns ``content`` and ``kind``."""
    kinds = defects.groupby("content")["kind"]
    return dict(kinds.first()[kinds.nunique() == 1])


def n_available(kind_of: Mapping[str, str]) -> int:
    """Defects that may be set aside: one of each kind stays in the test set."""
    return len(kind_of) - len(set(kind_of.values()))


def largest_possible(kind_of: Mapping[str, str], n_normal: int) -> float:
    """The largest ratio that these defects can give, rounded down to three decimals."""
    available = n_available(kind_of)
    return _STEPS * available // max(1, available + n_normal) / _STEPS


def injection_order(kind_of: Mapping[str, str], n: int, *, seed: int) -> list[str]:
    """Choose ``n`` defects in proportion to their kinds (largest remainder), in an order that keeps the proportion.

    Which of a kind are chosen, and which of them come first, is drawn from the seed and each defect's own content, not
    from the order of the mapping.

    Args:
        kind_of: content (a hash) to kind of defect.
        n: how many to choose, at most `n_available`.
        seed: of the choice.

    Returns:
        Contents. In the first m of them each kind has its share of m, give or take one defect (with four kinds and
        more, rarely a little over one).
    """
    rank = {content: content_hash_rank(content, seed) for content in kind_of}
    placed = []
    for kind, count in apportion(Counter(kind_of.values()), n).items():
        chosen = [content for content in sorted(kind_of, key=rank.__getitem__) if kind_of[content] == kind][:count]
        # The j-th of a kind's n_k stands at (j + 1/2) / n_k of the way, as in Webster's apportionment.
        placed += [((2 * j + 1) / (2 * count), rank[content], content) for j, content in enumerate(chosen)]
    return [content for _, _, content in sorted(placed)]


def apportion(sizes: Mapping[str, int], n: int) -> dict[str, int]:
    """Share ``n`` out in proportion to ``sizes`` by the largest remainder; of each size at least one is left.

    Raises:
        ValueError: ``n`` is more than the sizes leave.
    """
    total = sum(sizes.values())
    if n > total - len(sizes):
        msg = f"cannot take {n} of {total} and leave one of each of {len(sizes)}; take {total - len(sizes)} or fewer"
        raise ValueError(msg)
    counts = {name: min(n * size // total, size - 1) for name, size in sizes.items()}
    while sum(counts.values()) < n:
        open_ended = [name for name, size in sizes.items() if counts[name] < size - 1]
        owed = {name: n * sizes[name] - counts[name] * total for name in open_ended}  # remainders, times total
        counts[max(sorted(open_ended), key=lambda name: (owed[name], sizes[name]))] += 1
    return counts
