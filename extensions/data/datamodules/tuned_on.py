"""Defects of the test set by which settings were chosen, and which are therefore not tested."""

from typing import Any

import pandas as pd

from extensions.configuration.checked_values import is_whole
from extensions.configuration.python_numbers import python_numbers
from extensions.data.datamodules.parts import without_parts
from extensions.data.datamodules.set_aside import injection_order, kind_of_each, n_available
from extensions.data.errors import DatasetError
from extensions.data.splits import spread


def take_tuned_on(
    samples: pd.DataFrame, defects: pd.DataFrame, units: list[str], *, n: int, seed: int, name: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take ``n`` defects out of the test set, in proportion to their kinds, and with them all else of their parts.

    Labelled images tell more the more parts they are of: each is of another part, unless that would take more than half
    of the defective parts out of the test set. The choice is drawn from the seed and the content of the defects. Other
    images of these parts are neither looked at nor tested. What carries two kinds stays where it is, and so does one
    defect of each kind. No masks are needed.

    Args:
        samples: Of all splits.
        defects: Those of them that are tested, in a fixed order.
        units: What is drawn as a whole, for each of the defects: its part, or the content of its image.
        n: How many images are taken.
        seed: Of the choice.
        name: The data set's.

    Returns:
        The samples that are left, and those that were taken.

    Raises:
        DatasetError: There are not so many; it says how many there are.
    """
    defects = defects.assign(content=units)
    kind_of = kind_of_each(defects)
    sizes = defects["content"].value_counts()
    available = n_available(kind_of)
    fewest = min(n, max(1, len(kind_of) // 2), available)
    chosen: list[str] = []
    for n_units in range(fewest, available + 1):
        chosen = injection_order(kind_of, n_units, seed=seed)
        if sizes[chosen].sum() >= n:
            break
    n_found = int(sizes[chosen].sum()) if chosen else 0
    if n_found < n:
        msg = (
            f"tuned_on is {n}, but of the {len(defects)} defects that data set {name!r} tests only {n_found} can be "
            f"had (one of each of {len(set(kind_of.values()))} kinds stays in the test set): ask for fewer"
        )
        raise DatasetError(msg)
    of_parts = defects[defects["content"].isin(chosen)]
    taken = of_parts.iloc[spread(of_parts["content"].tolist(), n, seed=seed)]
    left = without_parts(samples, of_parts.index)
    return left, taken.drop(columns="content").assign(split="tuned_on")


def checked_tuned_on(tuned_on: Any) -> int:
    """How many are taken out of the test set, or a ValueError when that cannot be."""
    found = python_numbers(tuned_on)
    if not is_whole(found, 0):
        msg = f"tuned_on is {found!r}; expected 0 or more defects of the test set that settings are chosen by"
        raise ValueError(msg)
    return int(found)
