"""Our sheets inside a team's own workbook, of which everything else stays as it is."""

from benchmark.report.into.team_workbook import write_into

__all__ = ["write_into"]
