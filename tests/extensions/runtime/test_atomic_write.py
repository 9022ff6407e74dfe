import errno

import pytest
from filelock import FileLock

from extensions.runtime.atomic_write import whole_folder

FILES = ("model.xml", "model.json")


def test_what_a_killed_export_left_is_removed_or_put_back(tmp_path):
    output = tmp_path / "[model]"
    killed, living = tmp_path / ".[model].killed", tmp_path / ".[model].living"
    for work in (killed, living):
        (work / "new").mkdir(parents=True)
        (work / "alive").write_text("")
    (killed / "old").mkdir()
    (killed / "old/model.xml").write_text("the earlier export")
    with FileLock(living / "alive"), pytest.raises(RuntimeError), whole_folder(output, FILES):
        raise RuntimeError
    assert (output / "model.xml").read_text() == "the earlier export"
    assert sorted(path.name for path in tmp_path.iterdir()) == [living.name, output.name]
    with pytest.raises(OSError, match="could not be written: no space left"), whole_folder(output, FILES):
        raise OSError(errno.ENOSPC, "No space left on device")
    with whole_folder(output, FILES) as folder:
        (folder / "model.json").write_text("new")
    assert [path.name for path in output.iterdir()] == ["model.json"]
