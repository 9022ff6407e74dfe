"""What is said of a machine that does something else meanwhile."""

from benchmark.one_run.machine import MachineLoad, busy_note


def test_a_quiet_machine_is_no_word_and_a_busy_one_is_told_with_numbers():
    assert busy_note(0.1, 0.1, n_cores=2) == ""
    assert busy_note(1.4, 0.0, n_cores=2) == "measured while other processes used 1.4 of 2 cores"
    assert busy_note(0.0, 0.4, n_cores=2) == "measured while the same work took up to 40% longer at times"
    assert "1.4 of 2 cores and the same work" in busy_note(1.4, 0.4, n_cores=2)
    assert busy_note(1.4, 0.0, n_cores=64) == ""


def test_own_work_is_not_that_of_others(monkeypatch):
    used = iter([(0.0, 100.0, 50.0), (10.0, 118.0, 60.0), (20.0, 126.0, 68.0)])
    monkeypatch.setattr("benchmark.one_run.machine._used", lambda: next(used))
    load = MachineLoad()
    load.look()
    load.look()
    assert load.others == [0.8, 0.0]


def test_a_load_looks_at_this_machine():
    load = MachineLoad()
    load.work()
    load.look()
    assert load.work_ms[0] > 0
    assert load.others[0] >= 0
