"""Backbones by name: timm's architectures, our own and the tags of `weights/manifest.yaml`, with their weights."""

from extensions.backbones.errors import ManifestError, WeightsError, WeightsNotFoundError
from extensions.backbones.layers import Layer, check_layers, default_layers, layer_table
from extensions.backbones.loading import load_backbone_weights
from extensions.backbones.registry import architecture, check_backbone, names, normalization, register
from extensions.backbones.resolve import ResolvedWeights, resolve_weights

__all__ = [
    "Layer",
    "ManifestError",
    "ResolvedWeights",
    "WeightsError",
    "WeightsNotFoundError",
    "architecture",
    "check_backbone",
    "check_layers",
    "default_layers",
    "layer_table",
    "load_backbone_weights",
    "names",
    "normalization",
    "register",
    "resolve_weights",
]
