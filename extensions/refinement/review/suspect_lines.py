"""The lines of suspects.csv: how an image's name, its round and its verdict are written, and how an answer is read."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from extensions.runtime.escaped import FORMULA, escaped

COLUMNS = ("image", "score", "removed_in_round", "injected", "keep")
_YES = frozenset({"yes", "y", "true", "t", "1", "keep", "kept", "ja", "wahr"})  # German Excel turns TRUE into WAHR
_NO = frozenset({"no", "n", "false", "f", "0", "drop", "dropped", "nein", "falsch"})
_ENDS = "\t\r\n"  # of cells and lines; quotes keep them
_QUOTED = frozenset('",;\t\r\n')


@dataclass(frozen=True)
class Suspect:
    """One training image as the refinement leaves it.

    Attributes:
        image: Relative to the data root, with forward slashes.
        score: Higher is more suspicious; NaN where there is none.
        removed_in_round: From 1 on; None when the image was kept.
        injected: Whether it is a planted defect; None without ground truth.
        keep: What a person said of it; None leaves it to the tool.
    """

    image: str
    score: float
    removed_in_round: int | None
    injected: bool | None
    keep: bool | None

    @property
    def facts(self) -> str:
        """Its line of the CSV up to and without ``keep``, which comes last."""
        score = "" if math.isnan(self.score) else repr(self.score)
        injected = "" if self.injected is None else str(self.injected).lower()
        return f"{_quoted(written(self.image))},{score},{self.removed_in_round or ''},{injected},"

    @property
    def answer(self) -> str:
        """What stands in ``keep``: yes, no or nothing."""
        return "" if self.keep is None else "yes" if self.keep else "no"


def suspects_of(frame: pd.DataFrame) -> list[Suspect]:
    """The rows of a frame with the columns of `COLUMNS`; blank is None, NaN or an empty text.

    Raises:
        ValueError: A column is missing, or a value is none of those that it can hold.
    """
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        msg = f"the table of suspects lacks {', '.join(missing)}; expected the columns {', '.join(COLUMNS)}"
        raise ValueError(msg)
    return [
        Suspect(
            image=str(image),
            score=math.nan if _is_blank(score) else float(score),
            removed_in_round=None if _is_blank(removed) else int(removed),
            injected=None if _is_blank(injected) else answer_of(str(injected)),
            keep=None if _is_blank(keep) else answer_of(str(keep)),
        )
        for image, score, removed, injected, keep in frame[list(COLUMNS)].itertuples(index=False, name=None)
    ]


def csv_text(suspects: Iterable[Suspect]) -> str:
    """The whole file: comma separated, a header, a line for each suspect in the order given."""
    return "".join(f"{line}\n" for line in (",".join(COLUMNS), *(each.facts + each.answer for each in suspects)))


def written(name: str) -> str:
    r"""How an image's name stands in the file.

    A name that a spreadsheet program would take for a formula gets ``./`` before it, which names the same file. Bytes
    of a name that are not UTF-8, and control characters, are written as ``\x`` and their value.
    """
    text = "".join(c if c in _ENDS else escaped(c) for c in name)
    return f"./{text}" if text.startswith(FORMULA) else text


def answer_of(text: str) -> bool | None:
    """What a cell says: True for yes, False for no, None when it is empty; upper and lower case do not matter.

    Raises:
        ValueError: It says neither.
    """
    word = text.strip().lower()
    if not word:
        return None
    word = word[:-2] if word in {"1.0", "0.0", "1,0", "0,0"} else word
    if word in _YES or word in _NO:
        return word in _YES
    msg = f"{text.strip()!r} is neither yes nor no"
    raise ValueError(msg)


def _quoted(text: str) -> str:
    if _QUOTED.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _is_blank(value: Any) -> bool:
    return not value.strip() if isinstance(value, str) else bool(pd.isna(value))
