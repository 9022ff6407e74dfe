"""Where the data of a finished run are on this machine."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.one_run.preparation import Prepared, prepare
from benchmark.plan.experiment import Experiment
from benchmark.plan.local import read_local
from benchmark.records.record import Record
from extensions.data.reading.files import named_data_root

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where relative data roots of a run start: an absolute folder, and who says so."""

    root: Path
    source: str

    def __str__(self) -> str:
        return f"{self.root} ({self.source})"


def locate(
    plain: Experiment, record: Record, folder: Path, experiment: Experiment, data_root: Path | None
) -> tuple[Prepared, Place]:
    """The run prepared where its images are: where the data root given, or in force, or kept with the run has them.

    Args:
        plain: What is prepared: the run with a plain test.
        record: Of the run.
        folder: Of the record.
        experiment: What was run.
        data_root: Given by the user; None looks at `$WORKBENCH_DATA`, then where the run found its data.
    """
    local = read_local(folder, experiment)
    if local is not None:  # the paths of weights, too
        plain = replace(plain, model=local.experiment.model)
    places = [(Place(data_root.resolve(), "--data-root"), plain)] if data_root is not None else []
    if not places and (named := named_data_root()) is not None:
        places.append((Place(named.resolve(), "$WORKBENCH_DATA"), plain))
    if data_root is None and local is not None:
        places.append((Place(local.data_root, "kept with the run"), replace(plain, data=local.experiment.data)))
    if not places:
        places.append((Place(Path.cwd(), "the working directory"), plain))
    found: list[tuple[Prepared, Place]] = []
    for place, asked in places:
        found.append((prepare(asked, place.root), place))
        content = found[-1][0].fingerprint
        if content is not None and content.sha256 == record.dataset.sha256:
            break
    else:  # nowhere as they were: the first that can be used, else what was looked for first
        found.sort(key=lambda one: one[0].fingerprint is None)
        return found[0]
    if len(found) > 1:
        logger.warning("the images of run %s are not at %s; those at %s are used", record.key, places[0][0], place)
    return found[-1]
