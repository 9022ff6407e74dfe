"""`benchmark cache info|clear`: it shows all that is kept, and removes what nobody may be reading."""

import numpy as np

from benchmark.__main__ import main
from extensions.cache import open_cache
from extensions.runtime.built_folders import build_once


def fill(cache_folder):
    open_cache().put("features", "ab" * 20, np.zeros(2**20, np.uint8))
    for name in ("openvino", "drawn"):
        build_once(name, {"of": 1}, lambda folder: (folder / "some.bin").write_bytes(bytes(2**24)))


def test_info_shows_entries_conversions_and_drawn_images(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    fill(tmp_path)
    assert main(["cache", "info"]) == 0
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "1 entries" in shown["features"]
    assert "0 entries" in shown["banks"]
    assert "0.02 GiB" in shown["openvino"]
    assert "leaves them" in shown["drawn"]
    assert shown["to"].endswith("cache clear")


def test_clear_leaves_only_drawn_images(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    fill(tmp_path)
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.startswith("0.02 GiB freed;")
    assert [path.parent.parent.name for path in tmp_path.rglob("some.bin")] == ["drawn"]
    assert not list(tmp_path.rglob("*.npy"))


def test_no_cache_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("WORKBENCH_CACHE_LIMIT", "0")
    assert main(["cache", "info"]) == 0
    assert capsys.readouterr().out.startswith("no work is cached")
