"""NumPy's numbers as Python's, which is how configs and records hold them."""

from collections.abc import Mapping
from typing import Any


def python_numbers(value: Any) -> Any:
    """A value with every number of NumPy's in it, at any depth of mappings, lists and tuples, as one of Python's."""
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {name: python_numbers(part) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(python_numbers, value))
    return value
