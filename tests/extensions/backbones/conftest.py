"""A weights folder of the test's own, and a hub that cannot be reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch
    from anomalib.models.components import TimmFeatureExtractor


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights folder, empty; the hub is offline and its cache empty."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def manifest(folder: Path) -> Callable[[str], None]:
    """Write rows (YAML) into the folder's own manifest."""

    def write(rows: str) -> None:
        (folder / "manifest.yaml").write_text(rows, encoding="utf-8")

    return write


@pytest.fixture(scope="session")
def extractor() -> Callable[[str, Sequence[str]], TimmFeatureExtractor]:
    """Build anomalib's feature extractor with random weights."""
    from anomalib.models.components import TimmFeatureExtractor

    from extensions.backbones import register

    def build(backbone: str, layers: Sequence[str]) -> TimmFeatureExtractor:
        register()
        return TimmFeatureExtractor(backbone, list(layers), pre_trained=False).eval()

    return build


@pytest.fixture(scope="session")
def image() -> torch.Tensor:
    """One random image (1, 3, 64, 64)."""
    import torch

    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def resnet18() -> torch.nn.Module:
    """A complete ResNet-18 with random weights and batch statistics: the source of files."""
    import timm
    import torch

    torch.manual_seed(1)
    network = timm.create_model("resnet18").eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # timm's start values would hide half of the convolutions
            for tensor in (module.weight, module.running_var):
                torch.nn.init.uniform_(tensor, 0.5, 1.5)
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)  # a large mean would make all features zero
    return network
