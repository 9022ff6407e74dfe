"""How fast our parts are beside stock anomalib's: `python -m benchmark speed` measures both in one run."""

from benchmark.speed.all_rows import ROWS, run_speed
from benchmark.speed.coreset import time_coreset
from benchmark.speed.settings import SMALL, Settings

__all__ = ["ROWS", "SMALL", "Settings", "run_speed", "time_coreset"]
