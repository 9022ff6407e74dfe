"""Backbone names: ours and those of `weights/manifest.yaml` become names that timm builds."""

import dataclasses
import difflib
import importlib

from extensions.backbones.errors import ManifestError
from extensions.backbones.manifest import Row, row_for, rows

OWN = {"resnet18_cbam": "resnet_cbam", "resnet50_caffe": "resnet_caffe", "unet_resnet18": "unet_resnet"}
"""Architectures that timm does not have, and the files of this folder that register them with timm."""

_registered: set[str] = set()  # asking timm each time would cost a second in a sweep of a few dozen runs


def register() -> None:
    """Make our architectures and every manifest tag known to timm; calling it again adds only what is new.

    A manifest tag gets no file or address in timm: stock `create_model(name, pretrained=True)` refuses it, because timm
    would leave the tensors that a file lacks at random values without a word. `load_backbone_weights` loads it.

    Raises:
        ManifestError: A row names an architecture that timm does not have.
    """
    import timm

    for module in OWN.values():
        importlib.import_module(f"extensions.backbones.{module}")
    for row in rows().values():
        if row.name in _registered:
            continue
        if not timm.is_model(row.name):
            message = f"{row.manifest}, row {row.name!r}: {_unknown_architecture(row.architecture)}"
            raise ManifestError(message)
        if not _is_known(row.name):
            _register_tag(row)
        _registered.add(row.name)


def names() -> list[str]:
    """The names the manifest offers, and our architectures it has no row of; every other timm name works too."""
    known = rows()
    offered = {row.architecture for row in known.values()}
    return [*known, *(name for name in OWN if name not in offered)]


def check_backbone(backbone: str) -> str:
    """Return the name when it can be built with its tag.

    Args:
        backbone: A timm architecture, or `arch.tag`.

    Raises:
        ValueError: timm does not know the architecture or the tag; the message names the nearest ones.
    """
    import timm

    register()
    if ":" in backbone or "/" in backbone:
        message = (
            f"backbone {backbone!r} looks like an address; give a timm name such as resnet18 as `backbone` and a file "
            "as `weights`"
        )
        raise ValueError(message)
    arch, _, tag = backbone.partition(".")
    if not timm.is_model(arch):
        message = f"backbone {backbone!r}: {_unknown_architecture(arch)}"
        raise ValueError(message)
    if tag and not _is_known(backbone):
        tags = [name.partition(".")[2] for name in timm.list_models(f"{arch}.*", include_tags=True)]
        known = ", ".join(filter(None, tags)) or "none"
        message = (
            f"backbone {backbone!r}: {arch} has no tag {tag!r}; known: {known}; for a file of your own "
            f"use backbone {arch!r} with `weights`, or add a row to weights/manifest.yaml"
        )
        raise ValueError(message)
    return backbone


def architecture(backbone: str) -> str:
    """A name that timm builds without weights: the backbone itself, or without its tag where the tag is not registered.

    For checkpoints that were trained where the tag had a manifest row: they carry their weights and need no row here.

    Raises:
        ValueError: timm does not know the architecture.
    """
    register()
    arch = backbone.split(".", 1)[0]
    return check_backbone(backbone if _is_known(backbone) else arch)


def normalization(backbone: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel (RGB, for values in 0 to 1) that the weights were trained with.

    Taken from the manifest row, else from timm for this tag, else from timm for the architecture.

    Raises:
        ValueError: timm does not know the architecture.
    """
    import timm

    row = row_for(backbone)
    if row is not None and row.mean and row.std:
        return row.mean, row.std
    config = timm.get_pretrained_cfg(architecture(backbone))
    if config is None:
        from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

        return tuple(IMAGENET_DEFAULT_MEAN), tuple(IMAGENET_DEFAULT_STD)
    return tuple(config.mean), tuple(config.std)


def _is_known(backbone: str) -> bool:
    """Whether timm builds this name, tag included."""
    import timm

    if not timm.is_model(backbone):
        return False
    try:
        timm.get_pretrained_cfg(backbone)
    except RuntimeError:  # known architecture, unknown tag
        return False
    return True


def _unknown_architecture(arch: str) -> str:
    import timm

    near = difflib.get_close_matches(arch, sorted({*rows(), *timm.list_models()}), n=4, cutoff=0.5)
    return f"timm has no architecture {arch!r}; {'nearest: ' + ', '.join(near) if near else 'see timm.list_models()'}"


def _register_tag(row: Row) -> None:
    """Add `arch.tag` to timm's table of configurations, with no source of weights."""
    import timm

    # timm offers no public way to add a tag to an architecture it already has
    from timm.models import _registry as timm_registry

    config = timm.get_pretrained_cfg(row.architecture)
    config = dataclasses.replace(
        config,
        tag=row.name.partition(".")[2],
        **dict.fromkeys(("url", "file", "hf_hub_id", "hf_hub_filename", "source")),
        license=row.license,
        mean=row.mean or config.mean,
        std=row.std or config.std,
    )
    timm_registry._model_pretrained_cfgs[row.name] = config
    timm_registry._model_with_tags[row.architecture].append(row.name)
