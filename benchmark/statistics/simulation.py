"""Draw the table that shows how often intervals, tests and thresholds keep their promise.

``python -m benchmark.statistics.simulation --output results/statistics/coverage.csv``; some minutes on a CPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.statistics.coverage import CoverageRow, auroc_rows, difference_rows, metric_rows
from benchmark.statistics.threshold_coverage import threshold_rows

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

ROWS: tuple[Callable[[int], Iterable[CoverageRow]], ...] = (auroc_rows, difference_rows, metric_rows, threshold_rows)
"""Each takes the number of draws and gives its rows; another promise is one more of them."""
DRAWS = 2000


def coverage_table(draws: int = DRAWS) -> pd.DataFrame:
    """All rows, see :class:`benchmark.statistics.coverage.CoverageRow`.

    Args:
        draws: Test sets a row; rows of costly intervals take a fifth.
    """
    import pandas as pd

    found = []
    for rows in ROWS:
        for row in rows(draws):
            logger.info("%s: %s, %d good, %d defective: %.3f", *dataclasses.astuple(row)[:4], row.coverage)
            found.append(row)
    return pd.DataFrame([dataclasses.asdict(row) for row in found])


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table as a CSV file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("results/statistics/coverage.csv"))
    parser.add_argument("--draws", type=int, default=DRAWS, help="test sets a row (default: %(default)s)")
    given = parser.parse_args(arguments)
    if given.draws < 20:
        parser.error(f"--draws is {given.draws}; expected at least 20, for a share of fewer says nothing")
    from extensions.runtime.atomic_write import write_whole

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    table = coverage_table(given.draws)
    write_whole(given.output, table.to_csv(index=False, float_format="%.4g"))
    logger.info("%d rows of %d draws: %s", len(table), given.draws, given.output)


if __name__ == "__main__":
    main()
