"""What can be wrong with a data set, and the errors that say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from extensions.escaped import escaped

MAX_NAMED = 20


class Kind(Enum):
    """A kind of problem: what is found, and what to do about it."""

    NAME_NOT_UTF8 = ("file whose name is not UTF-8", "rename them: no record or table can hold such a name")
    UNREADABLE = ("cannot be read as a picture", "replace or delete them")
    EMPTY_FOLDER = ("folder without pictures", "put pictures there, or leave the folder out")
    UNEXPECTED_FOLDER = ("folder that is not expected there", "move or delete it: train holds only 'good'")
    MASK_FOLDER = ("folder of masks among the pictures", "name it in mask_dir, or move it elsewhere")
    NO_MASK = ("anomalous picture without a mask", "add masks of the same name, with or without '_mask' at its end")
    EXTRA_MASK = ("mask without a picture", "delete them, or give them the names of their pictures")
    AMBIGUOUS_MASK = ("mask that cannot be told", "leave one mask for each picture")
    MASK_SIZE = ("mask of another size than its picture", "export the masks at the size the pictures are shown in")
    MASK_ON_NORMAL = ("mask that marks a defect on a normal picture", "move the picture to the anomalous ones")
    IN_TRAIN_AND_TEST = ("same picture in training and test", "keep one copy")
    TWO_LABELS = ("same picture as normal and as anomalous", "keep one copy")
    BLACK_MASK = ("mask that marks nothing on an anomalous picture", "draw the defect or move the picture")
    LOSSY_MASK = ("mask with compression noise, which counts as defect", "export masks as PNG")
    DARK = ("16-bit picture in the lowest sixteenth of its range, read as almost black", "rescale them to 16 bits")
    SAME_TWICE = ("same picture twice", "keep one copy")

    @property
    def is_warning(self) -> bool:
        """Whether the results stay right: such a problem is logged, not raised."""
        return self in {Kind.BLACK_MASK, Kind.LOSSY_MASK, Kind.DARK, Kind.SAME_TWICE}


@dataclass(frozen=True)
class Problem:
    """One problem with one file or folder, named relative to the data set's root."""

    kind: Kind
    file: str
    detail: str = ""

    def __str__(self) -> str:
        return escaped(f"{self.file} ({self.detail})" if self.detail else self.file)


class DatasetError(ValueError):
    """A data set that cannot be used as it is; ``problems`` lists everything that was found."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.args[0], self.problems)


class DatasetMissingError(DatasetError, FileNotFoundError):
    """A data set, or one of its folders, that is not on this disk."""


def describe(problems: Iterable[Problem]) -> str:
    """One line for each kind of problem with the names of the first files."""
    groups: dict[Kind, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.kind, []).append(problem)
    lines = []
    for kind in (kind for kind in Kind if kind in groups):
        found, remedy = kind.value
        named = [str(problem) for problem in sorted(groups[kind], key=str)]
        more = f" … and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
        lines.append(f"- {found} ({len(named)}): {', '.join(named[:MAX_NAMED])}{more}; {remedy}")
    return "\n".join(lines)


def dataset_error(name: str, root: Path, problems: Sequence[Problem]) -> DatasetError:
    """The error that lists all ``problems`` of the data set together."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return DatasetError(f"data set {name!r} in {escaped(root)} has {count}:\n{describe(problems)}", problems)
