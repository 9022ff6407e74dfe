"""The record as a type: it gives back what was read, and says in a sentence what it cannot take."""

import json

import pytest

from benchmark.records.cells import counting
from benchmark.records.record import Record
from benchmark.records.record_file import RecordError, read_record, write_record
from tests.benchmark.fabricated import as_record, make_record, make_refinement


@pytest.mark.parametrize(
    "content",
    [make_record(), make_record(status="failed"), make_refinement("oracle", 0, auroc=1.0, gain=0.1)],
    ids=["finished", "failed", "refinement"],
)
def test_a_record_is_written_as_it_was_read(content, tmp_path):
    content = {name: value for name, value in content.items() if name != "folder"} | {"of_later": [{"a": 1}]}
    (tmp_path / "record.json").write_text(json.dumps(content))
    write_record(tmp_path, read_record(tmp_path / "record.json", tmp_path))
    assert json.loads((tmp_path / "record.json").read_text()) == content


def test_a_change_keeps_the_order_and_adds_only_itself():
    record = as_record(make_record(status="failed"))
    changed = record.model_copy(update={"files": record.files.model_copy(update={"checkpoint": None})})
    added = changed.on_disk()
    assert added.pop("files") == {"checkpoint": None}
    assert list(added.items()) == list(record.on_disk().items())


def test_what_a_failed_record_does_not_say_is_none():
    record = as_record(make_record(status="failed"))
    assert (record.speed.latency_ms, record.training.converged, record.thresholds.image) == (None, None, None)
    assert record.measured("image_AUROC") is record.measured("fit_seconds") is None


@pytest.mark.parametrize(
    ("change", "named"),
    [({"speed": {"latency_ms": "fast"}}, "speed.latency_ms"), ({"refinement": {"rounds": []}}, "refinement.rounds")],
)
def test_a_value_of_another_kind_is_named(change, named, tmp_path):
    content = {name: value for name, value in make_record().items() if name != "folder"}
    (tmp_path / "record.json").write_text(json.dumps(content | change))
    with pytest.raises(RecordError, match=f"it has no {named} of the expected kind"):
        read_record(tmp_path / "record.json", tmp_path)


def test_a_finished_record_counts_before_newer_failures_and_the_newest_of_them_before_others():
    def record(started: str, status: str = "finished", **changes) -> Record:
        return as_record(make_record(started=started, status=status, **changes))

    failed, old, new = record("3", "failed"), record("1"), record("2")
    other = record("4", protocol_version=0)
    found = counting([failed, new, other, old], by=lambda r: r.experiment_id)
    assert list(found.values()) == [new]
    assert found[new.experiment_id] is new
