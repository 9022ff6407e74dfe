"""Bars are for who watches; a log gets plain lines."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from extensions.runtime.epoch_lines_callback import ends_a_tenth
from extensions.runtime.progress import EVERY_S, PlainLines, finished_step, progress_bar, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Stand for standard error; called in the test, for pytest sets its own before."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    return shown


def test_on_a_terminal_there_is_a_bar_and_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    for _ in progress_bar(range(3), title="reading", unit="image", delay=0):
        finished_step("one more")
    assert "\rreading" in shown.getvalue()
    assert "one more" not in shown.getvalue()


def test_in_a_log_there_is_no_bar_and_each_step_is_a_line(capsys: pytest.CaptureFixture) -> None:
    assert list(progress_bar(range(3), title="reading", unit="image", delay=0)) == [0, 1, 2]
    with progress_bar(title="runs", unit="run", total=2, delay=0) as bar:
        bar.update()
        bar.set_description("other runs")
    finished_step("round 1: done")
    say("a run")
    assert capsys.readouterr() == ("a run\n", "round 1: done\n")


def test_work_that_takes_long_is_a_line_each_half_minute(capsys: pytest.CaptureFixture) -> None:
    now = iter([0.0, EVERY_S - 1, EVERY_S, EVERY_S + 1, 3 * EVERY_S])
    lines = PlainLines(title="  fit Padim", unit="batch", total=9, clock=lambda: next(now))
    for _ in range(4):
        lines.update()
    assert capsys.readouterr().err.splitlines() == [
        "fit Padim: 2 of 9 batches in 30 s",
        "fit Padim: 4 of 9 batches in 90 s",
    ]


def test_what_is_hidden_shows_nothing_on_a_terminal_either(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch)
    assert list(progress_bar(range(3), title="reading", unit="image", delay=0, hidden=True)) == [0, 1, 2]
    assert shown.getvalue() == ""


def test_all_bars_go_through_one_place() -> None:
    root = Path(__file__).resolve().parents[3]
    files = [path for room in ("extensions", "benchmark", "inference") for path in (root / room).rglob("*.py")]
    users = [path for path in files if re.search(r"^\s*(from|import) tqdm", path.read_text(encoding="utf-8"), re.M)]
    assert users == [root / "extensions" / "runtime" / "progress.py"]


@pytest.mark.parametrize(("total", "told"), [(3, [1, 2, 3]), (12, [2, 3, 4, 5, 6, 8, 9, 10, 11, 12])])
def test_at_most_ten_epochs_are_told_and_the_last_one_always(total: int, told: list[int]) -> None:
    assert [epoch for epoch in range(1, total + 1) if ends_a_tenth(epoch, total)] == told
    assert sum(ends_a_tenth(epoch, 1000) for epoch in range(1, 1001)) == 10
