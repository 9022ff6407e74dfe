"""Seconds of a process by stage."""

import time

import pytest

from extensions.runtime.explained import step
from extensions.runtime.stages import StageClock, stages


def test_a_second_belongs_to_the_innermost_stage():
    clock = StageClock()
    began = time.perf_counter()
    with clock.stage("outer"):
        time.sleep(0.02)
        for _ in range(2):
            with clock.stage("inner"):
                time.sleep(0.03)
        time.sleep(0.01)
    whole = time.perf_counter() - began
    found = clock.read()
    assert (found["outer"].n, found["inner"].n) == (1, 2)
    assert found["inner"].seconds >= 0.06
    assert found["outer"].seconds >= 0.03
    assert found["outer"].seconds + found["inner"].seconds == pytest.approx(whole, rel=0.05)
    assert clock.read()["outer"].seconds == found["outer"].seconds, "a stage that has ended takes no more"


def test_a_stage_of_itself_and_an_error_are_counted_once():
    clock = StageClock()
    with pytest.raises(KeyError), clock.stage("fit"), clock.stage("fit"):
        raise KeyError
    time.sleep(0.01)
    with clock.stage("test"):
        pass
    assert clock.read()["fit"].n == 2
    assert clock.read()["fit"].seconds < 0.01


def test_steps_of_a_run_are_stages():
    before = stages.read()["weighing"].n if "weighing" in stages.read() else 0
    with step("weighing"):
        pass
    assert stages.read()["weighing"].n == before + 1
