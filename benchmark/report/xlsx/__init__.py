"""leaderboard.xlsx: the frames as sheets for a person with a spreadsheet program; a file a kind of sheet."""

from benchmark.report.xlsx.book import write_xlsx

__all__ = ["write_xlsx"]
