"""The backbone of an exported model alone: what its speed is held against."""

from __future__ import annotations

from typing import Any

from extensions.runtime.openvino_core import openvino_core
from inference.model.metadata import ModelInfo


def compiled_backbone(info: ModelInfo, device: str, n_streams: int) -> Any:
    """The model's backbone at float32 with random weights, which change no time; None for a model without one."""
    import openvino
    import torch
    from anomalib.models.components import TimmFeatureExtractor

    from extensions import backbones

    if not info.backbone:
        return None
    backbones.register()
    name, layers = backbones.architecture(info.backbone["name"]), info.backbone["layers"]
    network = TimmFeatureExtractor(backbone=name, layers=layers, pre_trained=False).eval()
    example = torch.zeros(1, 3, *info.image_size)
    with torch.no_grad():
        traced = torch.jit.trace(network, example, check_trace=False, strict=False)
        converted = openvino.convert_model(traced, example_input=example, input=[-1, 3, *info.image_size])
    options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": str(n_streams)}
    return openvino_core().compile_model(converted, device, options)
