"""What became of labels: the masks, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from extensions.data.labels.mask_target import MaskTarget

_MAX_NAMED = 5


@dataclass
class Drawn:
    """What became of the labels.

    Attributes:
        masks: Names below the folder of masks and what the PNG files hold: 0, and 255 for defect.
        instances: How many were drawn of each label.
        labeled: Images that a label file knows.
        good: Those without any shape.
        other_labels: Those with shapes of labels only that were not chosen.
        not_chosen: How many shapes of such labels were left out, by label.
        unmarked: Places of shapes that mark no pixel.
        not_there: Images without a shape that the data set does not have.
        elsewhere: Images whose masks are not read from the folder of masks.
        without: Anomalous images that get no mask.
    """

    masks: dict[str, bytes] = field(default_factory=dict)
    instances: Counter[str] = field(default_factory=Counter)
    labeled: set[Path] = field(default_factory=set)
    good: set[Path] = field(default_factory=set)
    other_labels: set[Path] = field(default_factory=set)
    not_chosen: Counter[str] = field(default_factory=Counter)
    unmarked: list[str] = field(default_factory=list)
    not_there: list[str] = field(default_factory=list)
    elsewhere: set[Path] = field(default_factory=set)
    without: list[Path] = field(default_factory=list)

    def lines(self, target: MaskTarget) -> list[str]:
        """The counts for a person, a line each."""
        rows = [
            ("labeled images", len(self.labeled), ""),
            ("masks", len(self.masks), ""),
            ("instances", self.instances.total(), _by_label(self.instances)),
            ("images without a shape", len(self.good), "good, they get no mask" * bool(self.good)),
        ]
        optional = [
            ("left out, label not chosen", self.not_chosen.total(), _by_label(self.not_chosen)),
            ("left out, no chosen label", len(self.other_labels), "images"),
            ("left out, marks no pixel", len(self.unmarked), _some(self.unmarked)),
            ("left out, not in the data", len(self.not_there), f"images without a shape: {_some(self.not_there)}"),
            ("left out, other folder", len(self.elsewhere), "images of calibration_dir or known_defects_dir"),
            ("anomalous without a mask", len(self.without), f"label them or move them: {self._without(target)}"),
        ]
        rows += [row for row in optional if row[1]]
        return [f"  {name:28}{n}{': ' * bool(text)}{text}" for name, n, text in rows]

    def _without(self, target: MaskTarget) -> str:
        return _some(list(map(target.named, self.without)))


def _by_label(counts: Counter[str]) -> str:
    return ", ".join(f"{label} {n}" for label, n in sorted(counts.items()) if label)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more
