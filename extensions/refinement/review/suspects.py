"""suspects.csv and suspects.html: what a refinement leaves for a person to judge."""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from extensions.refinement.review.answers import ReviewError, read_review
from extensions.refinement.review.suspect_lines import COLUMNS, csv_text, suspects_of
from extensions.runtime.atomic_write import write_whole

__all__ = ["PAGE", "TABLE", "ReviewError", "read_review", "set_aside", "suspects_text", "write_suspects"]

TABLE = "suspects.csv"
PAGE = "suspects.html"


def write_suspects(
    frame: pd.DataFrame,
    folder: Path,
    *,
    image: Callable[[str], Path],
    heat: Callable[[str], np.ndarray | None],
    title: str,
    facts: Mapping[str, str],
    n_shown: int = 60,
) -> None:
    """Write the table of all training images and the page on which a person judges the suspicious ones.

    The page shows every image that was removed, and of those kept the most suspicious: as many as fill it up to
    ``n_shown``, at least 24. An image that cannot be read gets a card that says so. A table that is already there is
    replaced; if it holds a person's answers that the new one does not, it is kept beside it as ``suspects-1.csv``.

    Args:
        frame: A row for each training image, the most suspicious first (removed in round 1 by score, then round 2,
            then those kept): ``image`` (relative to the data root, forward slashes), ``score`` (higher is more
            suspicious), ``removed_in_round`` (from 1 on, blank: kept), ``injected`` (true or false, blank without
            ground truth), ``keep`` (a person's answer, blank: the tool's verdict).
        folder: Where the two files go.
        image: From an image's name to its file.
        heat: From an image's name to its (h, w) heat map, higher is more anomalous, spread over the whole image;
            None when there is none. Called once for each image shown.
        title: Heading of the page.
        facts: What the page says about the refinement, by name.
        n_shown: Images on the page, unless more were removed.

    Raises:
        ValueError: A column is missing, a value is none of its column's, or a heat map is not (h, w).
        OSError: A file could not be written; what was there before is untouched.

    Example:
        >>> write_suspects(frame, Path("out"), image=root.joinpath, heat=maps.get, title="bottle", facts={})
        >>> read_review(Path("out/suspects.csv"), frame["image"])
    """
    from extensions.refinement.review.suspect_page import suspect_page  # late: it draws

    suspects = suspects_of(frame)
    text = csv_text(suspects)
    set_aside(folder / TABLE, text)
    write_whole(folder / TABLE, text)
    page = suspect_page(suspects, image=image, heat=heat, title=title, facts=facts, n_shown=n_shown)
    write_whole(folder / PAGE, page)


def suspects_text(frame: pd.DataFrame) -> str:
    """The table alone, as `write_suspects` writes it."""
    return csv_text(suspects_of(frame))


def set_aside(path: Path, text: str) -> None:
    """Keep beside it what a person wrote into a table that this text is about to replace."""
    try:
        there = path.read_bytes()
    except OSError:
        return
    answers = _answers(there.decode("utf-8", "replace"))
    if answers is not None and answers <= (_answers(text) or set()):
        return
    number = 1
    while path.with_stem(f"{path.stem}-{number}").exists():
        number += 1
    write_whole(path.with_stem(f"{path.stem}-{number}"), there)


def _answers(text: str) -> set[tuple[str, str]] | None:
    """Image and answer of each line that has one; None when another program wrote the file in its own way."""
    reader = csv.reader(io.StringIO(text, newline=""))
    if next(reader, None) != list(COLUMNS):
        return None
    return {(cells[0], cells[-1]) for cells in reader if cells and cells[-1]}
