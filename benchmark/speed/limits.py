"""What limits every implementation on this machine: decoding, the bare network, and the memory's bandwidth."""

from __future__ import annotations

import copy
import os
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmark.one_run.training import device_of
from benchmark.speed.timing import timed
from extensions.runtime.openvino_core import openvino_core

COPY_BYTES = 2**28
BATCH = 16
N_DECODED = 64


@dataclass(frozen=True)
class Limits:
    """Times with all cores at work.

    Args:
        decode_ms: An image from file to pixels, by the faster of Pillow and OpenCV.
        torch_ms: An image through the bare backbone in torch, float32, on the GPU where there is one, as in a fit.
        openvino_ms: The same through OpenVINO at float32; None where it cannot.
        gigabytes_per_second: Read and written while copying memory.
    """

    decode_ms: float
    torch_ms: float
    openvino_ms: float | None
    gigabytes_per_second: float

    @property
    def network_ms(self) -> float:
        """An image through the bare backbone, the faster way."""
        return min(self.torch_ms, self.openvino_ms or self.torch_ms)

    def once(self, n_images: int) -> tuple[str, float]:
        """Each image decoded once and through the network once: what limits it, and seconds."""
        decode, network = n_images * self.decode_ms / 1000, n_images * self.network_ms / 1000
        larger = "decode" if decode > network else "bare network"
        return f"{larger} (decode {decode:.1f} s, bare network {network:.1f} s, each image once)", decode + network

    def reading(self, n_bytes: float, what: str) -> tuple[str, float]:
        """Reading so much memory: the limit's name, and seconds."""
        return f"memory bandwidth ({what})", n_bytes / self.gigabytes_per_second / 1e9


def measure_limits(files: Sequence[Path], extractor: nn.Module, *, image_size: int) -> Limits:
    """Measure all limits.

    Args:
        files: Files to decode; some are enough.
        extractor: The frozen backbone: images (N, 3, H, W) to a mapping of feature maps.
        image_size: Height and width in px that the backbone sees.
    """
    images = torch.rand(BATCH, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    return Limits(
        decode_ms=_decode_ms(files[:N_DECODED]),
        torch_ms=_torch_ms(extractor, images),
        openvino_ms=_openvino_ms(extractor, images),
        gigabytes_per_second=copy_speed(),
    )


def copy_speed(n_bytes: int = COPY_BYTES) -> float:
    """Bytes read and written a second while all cores copy memory, in 10^9."""
    source = np.ones(n_bytes, np.uint8)
    target = np.zeros_like(source)
    n_parts = os.cpu_count() or 1
    parts = list(zip(np.array_split(target, n_parts), np.array_split(source, n_parts), strict=True))
    with ThreadPoolExecutor(n_parts) as pool:
        seconds = _median(lambda: list(pool.map(lambda part: np.copyto(*part), parts)))
    return 2 * n_bytes / seconds / 1e9


def _decode_ms(images: Sequence[Path]) -> float:
    def seconds(read: Callable[[Path], np.ndarray]) -> float:
        return _median(lambda: list(pool.map(read, images)), n=3)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return min(seconds(_pillow), seconds(_opencv)) / len(images) * 1000


def _pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _opencv(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR))


@torch.no_grad()
def _torch_ms(extractor: nn.Module, images: torch.Tensor) -> float:
    device = device_of({})
    network, there = copy.deepcopy(extractor).eval().to(device), images.to(device)

    def compute() -> None:
        network(there)
        if there.is_cuda:
            torch.cuda.synchronize()

    return _median(compute) / len(images) * 1000


def _openvino_ms(extractor: nn.Module, images: torch.Tensor) -> float | None:
    try:
        import openvino

        converted = openvino.convert_model(_Maps(extractor).eval(), example_input=images)
        compiled = openvino_core().compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        inputs: Any = images.numpy()
        return _median(lambda: compiled(inputs)) / len(images) * 1000
    except Exception:  # whatever it cannot convert leaves torch as the limit
        return None


class _Maps(nn.Module):
    """The extractor's maps as a tuple, which OpenVINO can trace."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Feature maps of images (N, 3, H, W)."""
        return tuple(self.extractor(images).values())


def _median(work: Callable[[], Any], n: int = 5) -> float:
    work()  # warms up
    return statistics.median(timed(work)[1] for _ in range(n))
