"""The same image in several files, and nearly the same one."""

import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from extensions.data.checks.inspection import FileFacts
from extensions.data.errors import Kind, Problem
from extensions.data.groups import GROUP
from extensions.data.reading.decoded import file_key
from extensions.data.reading.descriptors import SIBLING, SIBLINGS, near_pairs
from extensions.data.reading.files import relative_name
from extensions.data.reading.image_files import read_image


def contents_of(paths: Iterable[str], facts: Mapping[str, FileFacts]) -> list[str]:
    """What each image shows, as a text that is equal for files of equal pixels, whatever their format.

    It is the sha256 of the file, or that of another file of the same pixels: the first in the order of hashes. A file
    that cannot be read stands for itself.
    """
    paths = list(paths)
    alike: dict[tuple[object, bytes], set[str]] = defaultdict(set)
    path_of: dict[str, str] = {}
    for path in paths:
        fact = facts[path]
        # What is looked at in 8 bits of RGB may be alike where the file's own numbers are not.
        if fact.sha256 and not fact.error and not (fact.stored.largest or fact.stored.channels):
            alike[fact.size, fact.descriptor].add(fact.sha256)
            path_of[fact.sha256] = path
    same: dict[str, str] = {}
    for hashes in alike.values():
        if len(hashes) > 1:  # only these need be compared pixel by pixel
            first_of: dict[str, str] = {}
            for sha256 in sorted(hashes):
                same[sha256] = first_of.setdefault(_pixels(path_of[sha256], sha256), sha256)
    return [same.get(facts[path].sha256, facts[path].sha256) or path for path in paths]


def _pixels(path: str, sha256: str) -> str:
    try:
        return _hash_of_pixels(file_key(path))
    except (OSError, ValueError):
        return sha256


@functools.lru_cache(maxsize=100_000)
def _hash_of_pixels(key: tuple[str, int, int]) -> str:
    image = read_image(key[0])
    return hashlib.sha256(str(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def near_copies(samples: pd.DataFrame, facts: Mapping[str, FileFacts], *, root: Path) -> list[Problem]:
    """Images that are nearly the same as one of a split before theirs (training, validation, test, calibration).

    Where no parts are named, test images that look like a training image, as another image of its part does, too.

    Args:
        samples: columns image_path, label_index, split, and group where parts are named.
        facts: of all images.
        root: that names are relative to.
    """
    samples = samples[samples["image_path"].map(lambda path: bool(facts[path].descriptor)).astype(bool)]
    paths = samples["image_path"].tolist()
    descriptors = tuple(facts[path].descriptor for path in paths)
    splits = tuple({"train": 0, "val": 1, "calibration": 3}.get(split, 2) for split in samples["split"])
    labels = tuple(int(label) for label in samples["label_index"])
    contents = contents_of(paths, facts)
    pairs = {(a, b) for groups in (splits, labels) for a, b in _pairs(descriptors, groups)}
    problems: list[Problem] = []
    for a, b in sorted(pairs):
        if contents[a] != contents[b]:  # those are reported as the same
            kind = Kind.NEAR_COPY if labels[a] == labels[b] else Kind.NEAR_LABELS
            problems.append(Problem(kind, " ~ ".join(relative_name(paths[row], root) for row in (a, b))))
    if GROUP not in samples:
        told = {b for _, b in pairs}
        alike = [(a, b) for a, b in _pairs(descriptors, splits, siblings=True) if splits[a] == 0 and splits[b] == 2]
        names = [[relative_name(paths[row], root) for row in pair] for pair in alike if pair[1] not in told]
        problems += [Problem(Kind.SIBLING, f"{test} ~ {train}") for train, test in names]
    return problems


@functools.lru_cache(maxsize=128)  # a grid sets the same images up for each of its runs, all products of each
def _pairs(descriptors: tuple[bytes, ...], groups: tuple[int, ...], *, siblings: bool = False) -> list[tuple[int, int]]:
    rows = [np.frombuffer(descriptor, np.uint16) for descriptor in descriptors]
    return near_pairs(rows, groups, neighbor=SIBLINGS, share=SIBLING) if siblings else near_pairs(rows, groups)
