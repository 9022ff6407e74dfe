"""Sentences about images that are read, but perhaps not as their owner thinks."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from extensions.data.checks.inspection import FileFacts, inspect_files
from extensions.data.errors import Kind, Problem, warn_once
from extensions.data.reading.stored import Stored

logger = logging.getLogger(__name__)


def remarks(files: Mapping[str, Stored]) -> list[Problem]:
    """What is to be told of some files, by their names; the first of each kind has what was found in all of them."""
    low = {name: stored.largest for name, stored in files.items() if stored.largest}
    paged = {name: stored.pages for name, stored in files.items() if stored.pages > 1}
    told = []
    if low:
        worst = Stored(largest=max(low.values()))
        detail = f"largest value {worst.largest} of 65535: {worst.bits} bits stored in 16"
        told += [Problem(Kind.DARK, name, detail if name == min(low) else "") for name in sorted(low)]
    if paged:
        most = f"{max(paged.values())} pages"
        told += [Problem(Kind.PAGES, name, most if name == min(paged) else "") for name in sorted(paged)]
    return told


def sentences(files: Mapping[str, Stored], *, n_files: int) -> list[str]:
    """One sentence for each kind: how many files of all, the first by name, what was found, what to do.

    Args:
        files: What is known of the files, by their names; those of which nothing is to be told may be left out.
        n_files: How many there are in all.
    """
    found = remarks(files)
    told = []
    for kind in dict.fromkeys(problem.kind for problem in found):
        first, *others = (problem for problem in found if problem.kind is kind)
        what, remedy = kind.value
        told.append(f"{1 + len(others)} of {n_files} images: {what}, such as {first}; {remedy}")
    return told


def of_one(stored: Stored) -> list[str]:
    """A sentence for each remark on one image."""
    told = []
    for problem in remarks({"": stored}):
        what, remedy = problem.kind.value
        told.append(f"{what} ({problem.detail}); {remedy}")
    return told


def tell_remarks(paths: Iterable[str | Path], *, title: str = "checking files") -> dict[str, FileFacts]:
    """Open files once a process, and warn of those whose images need a remark; a warning comes once.

    Returns:
        As `inspect_files`; files that cannot be read are among them.
    """
    facts = inspect_files(paths, title=title)
    for sentence in sentences({path: fact.stored for path, fact in facts.items()}, n_files=len(facts)):
        warn_once(sentence)
    return facts
