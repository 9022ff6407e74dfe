import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from extensions.cache import open_cache
from extensions.cache.store import WorkCache, key_of

ARRAY = np.arange(1000, dtype=np.float32).reshape(10, 100)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> WorkCache:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    return open_cache()


def entry(cache, key):
    return cache._path("features", key)


def test_an_array_comes_back_bit_by_bit(cache):
    assert cache.get("features", "aa1") is None
    cache.put("features", "aa1", ARRAY)
    found = cache.get("features", "aa1")
    assert cache.has("features", "aa1")
    assert found.dtype == ARRAY.dtype
    np.testing.assert_array_equal(found, ARRAY)
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


def test_a_torn_entry_is_absent_and_removed(cache):
    for cut in (0, 5, 128, ARRAY.nbytes):
        cache.put("features", "aa1", ARRAY)
        content = entry(cache, "aa1").read_bytes()
        entry(cache, "aa1").write_bytes(content[:cut])
        assert cache.get("features", "aa1") is None
        assert not entry(cache, "aa1").exists()


def test_an_entry_that_would_be_unpickled_is_absent(cache):
    cache.put("features", "aa1", ARRAY)
    np.save(entry(cache, "aa1"), np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert cache.get("features", "aa1") is None


def test_what_was_used_longest_ago_goes_first(tmp_path):
    cache = WorkCache(tmp_path, limit=10 * (ARRAY.nbytes + 128))
    for number in range(10):
        cache.put("features", f"{number:02}", ARRAY)
        os.utime(entry(cache, f"{number:02}"), (number, number))
    assert cache.has("features", "00")  # used just now
    cache.put("features", "10", ARRAY)
    cache.make_room()
    left = [number for number in range(11) if entry(cache, f"{number:02}").exists()]
    assert left == [0, 3, 4, 5, 6, 7, 8, 9, 10]
    assert sum(kind.n_bytes for kind in cache.info()) <= 0.9 * cache.limit


def test_a_full_disk_ends_caching_with_a_word_and_leaves_nothing_torn(cache, monkeypatch, caplog):
    def full(file, *_, **__):
        file.write(b"part of an array")
        raise OSError(errno.ENOSPC, "No space left on device")

    cache.put("features", "aa1", ARRAY)
    folder = cache.folder
    monkeypatch.setattr(np, "save", full)
    cache.put("features", "bb2", ARRAY)
    assert "the disk is full" in caplog.text
    assert not cache.enabled
    assert not list(folder.rglob(".unfinished-*"))
    assert [kind.n_entries for kind in open_cache().info() if kind.kind == "features"] == [1]


def test_a_cache_of_another_version_or_owner_is_left_alone_with_a_word(cache, caplog, monkeypatch):
    cache.put("features", "aa1", ARRAY)
    (cache.folder / "VERSION").write_text("0")
    assert not open_cache().enabled
    assert "version '0', expected '1'" in caplog.text
    assert entry(cache, "aa1").exists()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert not open_cache().enabled
    assert "another user" in caplog.text


def test_a_cache_that_cannot_be_written_is_left_alone_with_a_word(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file"))
    assert not open_cache().enabled
    assert "is not used as a cache" in caplog.text


@pytest.mark.parametrize("text", ["much", "-1", "inf", "nan"])
def test_a_limit_that_is_no_size_is_refused(text, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE_LIMIT", text)
    with pytest.raises(ValueError, match="number of GiB"):
        open_cache()


def test_a_limit_of_zero_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("WORKBENCH_CACHE_LIMIT", "0")
    cache = open_cache()
    cache.put("features", "aa1", ARRAY)
    assert not cache.enabled
    assert not cache.has("features", "aa1")
    assert cache.get("features", "aa1") is None


def test_keys_tell_everything_apart():
    keys = {key_of(a=1, b="x"), key_of(a=1, b="y"), key_of(a="1", b="x"), key_of(a=1), key_of(b="x", a=2)}
    assert len(keys) == 5
    assert key_of(a=1, b="x") == key_of(b="x", a=1)


def test_clear_removes_entries_and_what_was_never_finished(cache):
    cache.put("features", "aa1", ARRAY)
    (cache.folder / ".unfinished-abc").write_bytes(b"torn")
    assert cache.clear() > ARRAY.nbytes
    assert not cache.has("features", "aa1")
    assert not list(cache.folder.glob(".unfinished-*"))


WRITER = """
import sys
import numpy as np
from extensions.cache import open_cache

cache = open_cache()
print("started", flush=True)
number = 0
while True:
    number += 1
    for key in range(20):
        cache.put("features", f"{key:02}", np.full(300_000, number, np.float32))
"""


def test_killed_and_rival_writers_never_leave_a_torn_entry(cache):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, env=os.environ) for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == b"started\n"
    seen = 0
    until = time.monotonic() + 1.5
    while time.monotonic() < until or not seen:
        for key in range(20):
            found = cache.get("features", f"{key:02}")
            if found is not None:
                seen += 1
                assert len(np.unique(found)) == 1
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    for key in range(20):
        found = cache.get("features", f"{key:02}")
        assert found is None or len(np.unique(found)) == 1
