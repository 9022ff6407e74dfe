"""Limits that the user sets as variables of the environment, in GiB."""

import os


def limit_of(variable: str, default: int, *, without: str) -> int:
    """The bytes that `$variable` (GiB) allows, `default` bytes where it is not set.

    Args:
        variable: Its name.
        default: Bytes.
        without: What 0 means, for the error.

    Raises:
        ValueError: It is no number of GiB.
    """
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        gib = float(text)
    except ValueError:
        gib = -1.0
    if not 0 <= gib < float("inf"):
        msg = f"${variable} is {text!r}; expected a number of GiB such as {default // 2**30}, or 0 for {without}"
        raise ValueError(msg)
    return int(gib * 2**30)
