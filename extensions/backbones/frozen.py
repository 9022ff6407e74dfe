"""The feature extractor of a frozen backbone: through OpenVINO where that is faster and gives the same features."""

import copy
import hashlib
import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from anomalib.models.components import TimmFeatureExtractor
from torch import nn

from extensions.backbones.feature_agreement import agree
from extensions.backbones.feature_source import Features, FeatureSource
from extensions.backbones.map_extractor import MapExtractor
from extensions.backbones.openvino_runner import SIZE, find_runner
from extensions.backbones.stages import stop_at_last
from extensions.backbones.transformers import check_fits, fixed_to_size, is_transformer

logger = logging.getLogger(__name__)

ENGINES = ("auto", "openvino", "torch")


class FrozenFeatureExtractor(MapExtractor):
    """Anomalib's extractor for a backbone that is never trained, computing on CPUs through OpenVINO at float32.

    OpenVINO takes the place of torch when, for these weights on this machine, it was faster and all features agreed
    to 1e-4 of their largest value; both are measured once and remembered in the cache folder. On other devices, in
    other precisions, while a model is exported and where gradients are wanted, torch computes. Of a transformer there
    is a network for each size of images, for its position embeddings depend on it.

    `$WORKBENCH_FEATURES` is `auto` (the default), `torch` (always torch: bit for bit what anomalib computes) or
    `openvino` (whenever the features agree, faster or not).

    Shapes: images (N, 3, H, W) -> for each layer (N, C, h, w).

    Attributes:
        source: Asked for features in place of computing; None computes.
    """

    source: FeatureSource | None = None
    _runner: Any = None
    _runner_version: tuple[int, int, tuple[int, ...]] | None = None
    _sizes: dict[tuple[int, ...], bool]

    def forward(self, inputs: torch.Tensor) -> Features:
        """Features of images."""
        return self.compute(inputs) if self.source is None else self.source.features(inputs, self.compute)

    def compute(self, inputs: torch.Tensor) -> Features:
        """Features of images, never those that `source` knows."""
        runner = self._find_runner(inputs)
        if runner is None or not self._agrees_at_size(runner, inputs):
            return super().forward(inputs)
        return runner(inputs)

    def _agrees_at_size(self, runner: Callable[[torch.Tensor], Features], inputs: torch.Tensor) -> bool:
        """Whether the features of the first image of each other size agree with torch's.

        A converted network can be right at one size and wrong at another: padding that torch computes from the size
        may have become a constant.
        """
        size = tuple(inputs.shape[-2:])
        if size not in self._sizes:
            expected, found = super().forward(inputs[:1]), runner(inputs[:1])
            self._sizes[size] = all(agree(found[str(layer)], feature) for layer, feature in expected.items())
            if not self._sizes[size]:
                logger.warning("features of %s at %d x %d px come from torch: OpenVINO's differ", self.backbone, *size)
        return self._sizes[size]

    @property
    def is_single(self) -> bool:
        """Whether its weights are float32."""
        return next(self.feature_extractor.parameters()).dtype == torch.float32

    @property
    def engine(self) -> str:
        """What computes the features on a CPU at float32: openvino or torch; by the size for a transformer."""
        if self._uses_intermediates:
            return f"{feature_engine()}, by size"
        return "torch" if self._find_runner(torch.zeros(1)) is None else "openvino"

    def _find_runner(self, inputs: torch.Tensor) -> Callable[[torch.Tensor], Features] | None:
        """OpenVINO's network, None where torch computes."""
        asked = feature_engine()
        if (
            asked == "torch"
            or self.requires_grad
            or inputs.requires_grad
            or inputs.device.type != "cpu"
            or inputs.dtype != torch.float32
            or torch.compiler.is_compiling()
            or torch.jit.is_tracing()
        ):
            return None
        tensors = [*self.feature_extractor.parameters(), *self.feature_extractor.buffers()]
        if any(
            t.device.type != "cpu" or t.dtype not in (torch.float32, torch.int64) or t.is_inference() for t in tensors
        ):
            return None
        size = tuple(inputs.shape[-2:]) if self._uses_intermediates else (SIZE, SIZE)
        # Other weights, another network.
        version = (tensors[0].data_ptr(), sum(tensor._version for tensor in tensors), size)
        if version != self._runner_version:
            if self._uses_intermediates:
                check_fits(str(self.backbone), (size[0], size[1]))
            self._runner = find_runner(self, identity=self.identity(), asked=asked, size=(size[0], size[1]))
            self._sizes = {size: True}  # compared when converted
            self._runner_version = version
        return self._runner

    def identity(self) -> dict[str, str]:
        """What decides the features: the architecture and a hash over all tensors."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.feature_extractor.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().data)
        return {"arch": str(self.backbone), "tensors": digest.hexdigest()}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what cannot be copied and is found again: OpenVINO's network and the source."""
        state = self.__dict__.copy()
        for name in ("_runner", "_runner_version", "_sizes", "source"):
            state.pop(name, None)
        return state


def freeze(extractor: TimmFeatureExtractor) -> FrozenFeatureExtractor:
    """The extractor that anomalib's network has built, as a frozen one with the same tensors."""
    frozen = FrozenFeatureExtractor.__new__(FrozenFeatureExtractor)
    frozen.__dict__ = extractor.__dict__
    if is_transformer(str(frozen.backbone)):
        frozen.use_tokens()
    else:
        stop_at_last(frozen.feature_extractor)
    return frozen.eval()


def fix_to_size(network: nn.Module, size: tuple[int, int]) -> nn.Module:
    """A network whose transformers take images of one height and width in px, as an exported one does; else itself."""
    found = [
        name
        for name, module in network.named_modules()
        if isinstance(module, MapExtractor) and module._uses_intermediates
    ]
    if not found:
        return network
    fixed = copy.deepcopy(network)
    for name in found:
        extractor = fixed.get_submodule(name)
        assert isinstance(extractor, MapExtractor)
        extractor.feature_extractor = fixed_to_size(extractor.feature_extractor, str(extractor.backbone), size)
    return fixed


def feature_engine() -> str:
    """What `$WORKBENCH_FEATURES` asks for.

    Raises:
        ValueError: Another value than `auto`, `openvino` or `torch`.
    """
    asked = os.environ.get("WORKBENCH_FEATURES") or "auto"
    if asked not in ENGINES:
        msg = f"$WORKBENCH_FEATURES is {asked!r}; expected one of {', '.join(ENGINES)}"
        raise ValueError(msg)
    return asked
