"""Without a network a download says which file, from where, and what to do; no request leaves these tests."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest

from extensions.runtime.downloads import download_error, fetching
from extensions.runtime.explained import explained


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_address(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def told(work) -> str:
    try:
        with fetching():
            work()
    except Exception as error:
        return explained(error, what="Model")
    pytest.fail("nothing was raised")


def test_a_file_of_the_hub_is_named_with_its_cache_and_not_asked_for_again(tmp_path: Path) -> None:
    from huggingface_hub import constants, hf_hub_download

    def work() -> None:
        assert constants.HF_HUB_OFFLINE
        hf_hub_download("owner/name", "model.safetensors", cache_dir=tmp_path)

    was = constants.HF_HUB_OFFLINE
    sentence = told(work)
    assert sentence.startswith("Model: model.safetensors of the hub's owner/name is not on this machine")
    assert f"models--owner--name of another machine's cache into {tmp_path}" in sentence
    assert was == constants.HF_HUB_OFFLINE


def test_behind_a_proxy_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with fetching():
        assert not constants.HF_HUB_OFFLINE


def test_a_file_of_torch_is_named_with_where_it_belongs(tmp_path: Path) -> None:
    from torch.hub import load_state_dict_from_url

    sentence = told(lambda: load_state_dict_from_url("https://example.invalid/a/net-1234.pth", progress=False))
    assert "https://example.invalid/a/net-1234.pth cannot be reached" in sentence
    assert str(tmp_path / "torch/hub/checkpoints/net-1234.pth") in sentence


def test_an_archive_of_anomalib_is_named_and_its_empty_folder_removed(tmp_path: Path) -> None:
    from anomalib.data.utils.download import DownloadInfo, download_and_extract

    info = DownloadInfo(name="dtd", url="https://example.invalid/dtd.tar.gz", hashsum="0")
    sentence = told(lambda: download_and_extract(tmp_path / "dtd", info))
    assert (
        f"https://example.invalid/dtd.tar.gz cannot be reached; fetch it elsewhere and unpack it in {tmp_path}/dtd"
        in (sentence)
    )
    assert not (tmp_path / "dtd").exists(), "the next try would take it for the unpacked files"


def test_a_plain_download_is_named_with_where_it_belongs(tmp_path: Path) -> None:
    from urllib.request import urlretrieve

    sentence = told(lambda: urlretrieve("https://example.invalid/points.pth", filename=tmp_path / "points.pth"))
    assert sentence == (
        "Model: https://example.invalid/points.pth cannot be reached; fetch it elsewhere and copy it to "
        f"{tmp_path}/points.pth"
    )


def test_other_errors_are_none_of_the_network() -> None:
    assert download_error(ValueError("no")) == ""
    assert download_error(FileNotFoundError("a.png")) == ""
    assert "be reached" in download_error(URLError("timed out"))


def test_an_error_below_another_is_found() -> None:
    def outer(url: SimpleNamespace) -> None:
        try:
            raise URLError("no route")
        except URLError as error:
            raise RuntimeError(url) from error

    with pytest.raises(RuntimeError) as caught:
        outer(SimpleNamespace())
    assert "no route" in download_error(caught.value)
