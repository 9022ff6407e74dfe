"""Times that compare are colored, others are shown and said to be none."""

import openpyxl
import pandas as pd
import pytest

from benchmark.metrics.columns import BY_CATEGORY, column, compares
from benchmark.report.html import _shades
from benchmark.report.xlsx import write_xlsx
from tests.benchmark.fabricated import make_record, tables_of


def timed(model: str, latency: float, *, session: str | None = "a", fit: float | None = 10.0, **changes):
    record = make_record(model=model, latency=latency, **changes)
    record["speed"] |= {
        "latency_session": session, "latency_turns": 5, "latency_threads": 2, "latency_device": "cpu",
        "latency_min_ms": latency - 1, "latency_max_ms": latency + 1, "network": model, "latency_note": "",
        "fit_seconds": None if fit is None else fit + latency, "fit_reused_seconds": None if fit is None else 4.0,
    }  # fmt: skip
    record["reused"] = {"train": {"images": 8, "features": 8, "of": 8}}
    return record


def colored(records, tmp_path) -> set[str]:
    write_xlsx(tables_of(records), tmp_path / "l.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "l.xlsx")["By category"]
    places = {str(area.sqref).split(":")[0].rstrip("0123456789") for area in sheet.conditional_formatting}
    letters = {openpyxl.utils.get_column_letter(i + 1): name for i, name in enumerate(BY_CATEGORY)}
    return {letters[place] for place in places}


def warnings(records) -> str:
    about = tables_of(records).about
    return " ".join(about.loc[about["section"] == "Warnings", "value"])


def test_times_of_one_session_and_machine_are_colored_and_nothing_is_warned_of(tmp_path):
    records = [timed("A", 10.0), timed("B", 20.0)]
    assert {"latency_ms", "latency_p95_ms", "fit_seconds"} <= colored(records, tmp_path)
    assert warnings(records) == ""
    frame = tables_of(records).leaderboard
    assert _shades(frame, column("latency_ms"), ("dataset",)) == [1.0, 0.0]
    assert frame["latency_min_ms"].tolist() == [9.0, 19.0]
    about = tables_of(records).about
    (session,) = about.loc[about["section"] == "Latency", "value"]
    assert session == "2 networks of 2 runs in 5 turns each, on cpu, 2 threads"
    records[1]["speed"]["latency_turns"] = 3
    about = tables_of(records).about
    (session,) = about.loc[about["section"] == "Latency", "value"]
    assert session.startswith("2 networks of 2 runs in 3 to 5 turns each")


@pytest.mark.parametrize("sessions", [("a", "b"), ("a", None), (None, None)])
def test_latencies_of_several_sessions_are_shown_without_color_and_with_a_word(sessions, tmp_path):
    records = [timed("A", 10.0, session=sessions[0]), timed("B", 20.0, session=sessions[1])]
    assert not {"latency_ms", "latency_p95_ms"} & colored(records, tmp_path)
    assert "Latencies were not all measured in one session" in warnings(records)
    frame = tables_of(records).leaderboard
    assert frame["latency_ms"].tolist() == [10.0, 20.0]
    assert _shades(frame, column("latency_ms"), ("dataset",)) == [None, None]


def test_other_data_sets_are_colored_all_the_same(tmp_path):
    pair = [timed("A", 10.0, dataset="tiles"), timed("B", 20.0, dataset="tiles")]
    records = [timed("A", 10.0, session=None), timed("B", 20.0, session=None), *pair]
    assert "latency_ms" in colored(records, tmp_path)


def test_a_busy_machine_is_told_in_the_sheet_and_colors_nothing(tmp_path):
    record = timed("A", 10.0)
    record["speed"]["latency_note"] = "measured while other processes used 1.4 of 2 cores"
    assert "measured while other processes used 1.4 of 2 cores, so it is not colored" in warnings([record])
    assert "not all measured in one session" not in warnings([record, timed("B", 20.0)])
    assert "latency_ms" not in colored([record, timed("B", 20.0)], tmp_path)
    assert tables_of([record]).runs["latency_note"].tolist() == ["measured while other processes used 1.4 of 2 cores"]


def test_a_fit_time_that_is_not_known_is_blank_with_its_reason_and_colors_nothing(tmp_path):
    records = [timed("A", 10.0), timed("B", 20.0, fit=None)]
    frame = tables_of(records).leaderboard.set_index("model")
    assert frame.loc["A", "fit_seconds"] == 20.0
    assert pd.isna(frame.loc["A", "reused"])
    assert pd.isna(frame.loc["B", "fit_seconds"])
    assert frame.loc["B", "reused"] == "features, images"
    assert "fit_seconds" not in colored(records, tmp_path)
    assert "cache clear" in warnings(records)
    assert tables_of(records).runs.set_index("model").loc["B", "reused"] == "features, images"


def test_fit_times_of_other_machines_or_threads_and_of_older_records_do_not_compare(tmp_path):
    one, other = timed("A", 10.0), timed("B", 20.0)
    other["environment"]["n_threads"] = 1
    assert "fit_seconds" not in colored([one, other], tmp_path)
    older = make_record(model="B", reused={"train": {"images": 8, "features": 8, "of": 8}})
    assert "fit_seconds" not in colored([timed("A", 10.0), older], tmp_path)
    assert tables_of([older]).leaderboard["fit_seconds"].tolist() == [12.0]


def test_a_column_without_such_a_condition_always_compares():
    block = pd.DataFrame({"image_AUROC": [0.1, 0.2]})
    assert compares(column("image_AUROC"), block)
