"""A frozen network in OpenVINO: converted once, compared with torch once, and remembered in the cache folder."""

from __future__ import annotations

import json
import logging
import time
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from extensions.backbones.feature_agreement import TOLERANCE, difference
from extensions.backbones.input_channels import in_channels, set_in_channels
from extensions.backbones.transformers import fixed_to_size, is_transformer
from extensions.runtime.built_folders import build_once
from extensions.runtime.openvino_core import openvino_core

if TYPE_CHECKING:
    from anomalib.models.components import TimmFeatureExtractor

logger = logging.getLogger(__name__)

Features = dict[str, torch.Tensor]
SIZE = 224  # px, of the images compared and timed
TRACED_SIZE = 64  # px; the converted network takes any size
BATCH_SIZE = 2
ROUNDS = 4
SMALL = 64 * 2**20  # bytes of weights
NETWORK = "network.xml"


class OpenVinoRunner:
    """A network compiled for the CPU: images (N, 3, H, W) float32 -> for each layer (N, C, h, w).

    Args:
        compiled: The compiled model, outputs in the order of the layers.
        layers: Names of the outputs.
    """

    def __init__(self, compiled: Any, layers: list[str]) -> None:
        self._request = compiled.create_infer_request()  # its own, for the compiled network may be shared
        self._layers = layers

    def __call__(self, inputs: torch.Tensor) -> Features:
        """Features of images; they are not shared with later calls."""
        images = inputs.detach().contiguous().numpy()
        outputs = self._request.infer([images], share_inputs=True, share_outputs=False)
        return {layer: torch.from_numpy(outputs[index]) for index, layer in enumerate(self._layers)}


def find_runner(
    extractor: TimmFeatureExtractor, *, identity: dict[str, str], asked: str, size: tuple[int, int] = (SIZE, SIZE)
) -> OpenVinoRunner | None:
    """The extractor's network in OpenVINO, or None where torch is to compute.

    Args:
        extractor: On the CPU at float32.
        identity: The architecture and a hash over all tensors, as `FrozenFeatureExtractor.identity` tells them.
        asked: `auto` takes OpenVINO when it is faster, `openvino` always; either only when the features agree.
        size: Height and width in px of the images, of which a transformer's network depends.
    """
    layers = list(map(str, extractor.layers))
    # timm cuts what lies behind the deepest layer off some networks only, so the tensors alone do not tell the depth.
    facts = {**identity, "stages": max(extractor.idx) + 1, **_versions()}
    if is_transformer(str(extractor.backbone)):
        facts["size"] = list(size)
    try:
        folder = build_once("openvino", facts, lambda folder: _build(extractor, folder, size))
        verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
        if not verdict["agrees"] or (asked == "auto" and not verdict["faster"]):
            return None
        outputs = tuple(verdict["outputs"].index(layer) for layer in layers)
        return OpenVinoRunner(_compile(folder / NETWORK, outputs, torch.get_num_threads()), layers)
    except (AssertionError, OSError, RuntimeError) as error:  # it cannot be converted, or takes one size only
        logger.warning("features of %s come from torch: %s", identity["arch"], " ".join(str(error).split()))
        return None


def _build(extractor: TimmFeatureExtractor, folder: Path, size: tuple[int, int]) -> None:
    """Write the network with the features of every stage as outputs, and the verdict on it."""
    import openvino

    is_fixed = is_transformer(str(extractor.backbone))
    network, outputs = _all_blocks(extractor, size) if is_fixed else _all_stages(extractor)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about Python numbers that become constants
        example = torch.zeros(1, in_channels(network), *(size if is_fixed else (TRACED_SIZE, TRACED_SIZE)))
        # The tracer's own check runs the network several times more; `_compare` does it on real sizes.
        traced = torch.jit.trace(network, example, check_trace=False, strict=False)
        converted = openvino.convert_model(traced, example_input=example)
    openvino.save_model(converted, folder / NETWORK, compress_to_fp16=False)
    runner = OpenVinoRunner(_compile(folder / NETWORK, tuple(range(len(outputs))), torch.get_num_threads()), outputs)
    verdict = {"outputs": outputs, **_compare(network, runner, size)}
    (folder / "verdict.json").write_text(json.dumps(verdict, indent=1), encoding="utf-8")


def _all_stages(extractor: TimmFeatureExtractor) -> tuple[nn.Module, list[str]]:
    """A network with the extractor's tensors that gives the features of all stages it has, and their names."""
    import timm

    indices = tuple(range(max(extractor.idx) + 1))
    with torch.random.fork_rng(devices=[]):
        network = timm.create_model(
            str(extractor.backbone), pretrained=False, features_only=True, exportable=True, out_indices=indices
        )
    set_in_channels(network, in_channels(extractor))
    network.load_state_dict(extractor.feature_extractor.state_dict())
    return network.eval(), network.feature_info.module_name()


class _Blocks(nn.Module):
    """A transformer for images of one size that gives the maps of its first blocks or stages."""

    def __init__(self, network: nn.Module, indices: list[int], *, norm: bool) -> None:
        super().__init__()
        self.network, self.indices, self.norm = network, indices, norm

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        maps: list[torch.Tensor] = self.network.forward_intermediates(
            images, indices=self.indices, norm=self.norm, stop_early=True, intermediates_only=True
        )
        return maps


def _all_blocks(extractor: TimmFeatureExtractor, size: tuple[int, int]) -> tuple[nn.Module, list[str]]:
    """As `_all_stages`, of a transformer."""
    network = fixed_to_size(extractor.feature_extractor, str(extractor.backbone), size)
    indices = list(range(max(extractor.idx) + 1))
    names = [network.feature_info[index]["module"] for index in indices]
    return _Blocks(network, indices, norm=extractor.norm).eval(), names


def _compare(network: nn.Module, runner: OpenVinoRunner, size: tuple[int, int] = (SIZE, SIZE)) -> dict[str, Any]:
    """Whether the features agree with torch's, and what is faster."""
    shape = (BATCH_SIZE, in_channels(network), *size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ms: dict[str, list[float]] = {"openvino": [], "torch": []}
    with torch.no_grad():
        expected, found = network(images), runner(images)
        for _ in range(ROUNDS):
            for name, compute in (("openvino", runner), ("torch", network)):
                started = time.perf_counter()
                compute(images)
                ms[name].append((time.perf_counter() - started) / BATCH_SIZE * 1000)
    differences = [difference(feature, one) for feature, one in zip(found.values(), expected, strict=True)]
    largest = float(np.max(differences))  # NaN if one is, unlike Python's max
    least = {name: min(values) for name, values in ms.items()}  # what else the machine does only adds to a time
    return {
        "difference": largest,
        "agrees": largest <= TOLERANCE,
        "faster": least["openvino"] < least["torch"],
        "ms_per_image": least,
    }


def _compile(path: Path, outputs: tuple[int, ...], n_threads: int) -> Any:
    """The network, whose path tells its content, compiled with some of its outputs; the runs of a sweep share it."""
    is_small = path.with_suffix(".bin").stat().st_size <= SMALL
    return (_compile_small if is_small else _compile_large)(path, outputs, n_threads)


def _compiled(path: Path, outputs: tuple[int, ...], n_threads: int) -> Any:
    import openvino

    core = openvino_core()
    network = core.read_model(path)
    results = network.get_results()
    network = openvino.Model([results[index] for index in outputs], network.get_parameters())
    # The hint: CPUs that can would otherwise compute in bfloat16, which is good to 1e-2 only.
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    # Pinned threads are slower beside torch's own, and beside other processes on the same cores.
    options |= {"INFERENCE_NUM_THREADS": str(n_threads), "ENABLE_CPU_PINNING": "NO"}
    return core.compile_model(network, "CPU", options)


# Detectors of one backbone that look at other layers of it take turns in a sweep.
_compile_small = lru_cache(maxsize=6)(_compiled)
_compile_large = lru_cache(maxsize=2)(_compiled)


def _versions() -> dict[str, Any]:
    import openvino
    import timm

    from extensions.runtime.processor import processor_name

    return {
        "openvino": openvino.__version__,
        "torch": torch.__version__,
        "timm": timm.__version__,
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
    }
