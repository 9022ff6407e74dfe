from pathlib import Path

import pytest

from benchmark.speed import memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell memory")


def test_memory_is_told_after_each_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "IMPORTS", {"JSON": "json", "NumPy": "numpy"})
    steps = memory._imports()
    assert [step["step"] for step in steps] == ["Python", "JSON", "NumPy"]
    anonymous = [step["anonymous_bytes"] for step in steps]
    assert anonymous == sorted(anonymous)
    assert anonymous[-1] - anonymous[0] > 2**20  # NumPy takes some MB


def test_the_peak_is_that_of_the_command_and_a_failure_is_told(tmp_path: Path) -> None:
    (tmp_path / "hungry.py").write_text("block = bytearray(100 * 2**20)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        small = memory._peak("small", ["this"], tmp_path)
        large = memory._peak("large", ["hungry"], tmp_path)
        with pytest.raises(RuntimeError, match=r"wrong: ended with 1: .*No module named no_such_module"):
            memory._peak("wrong", ["no_such_module"], tmp_path)
    assert 90 * 2**20 < large["resident_bytes"] - small["resident_bytes"] < 110 * 2**20
    assert large["step"] == "large"


def test_a_run_is_of_as_many_packaged_images_as_asked(tmp_path: Path) -> None:
    folder = memory._some_images(tmp_path / "images", 3)
    assert len(list(folder.iterdir())) == 3
