"""Weights from the model hub, through timm's addresses and huggingface_hub's cache."""

import logging
from pathlib import Path
from typing import NamedTuple

from extensions.backbones.errors import WeightsNotFoundError
from extensions.backbones.manifest import row_for

logger = logging.getLogger(__name__)

_SECONDS = 5.0  # for the hub's first answer; huggingface_hub itself would wait and try again for minutes
_FILES = ("model.safetensors", "pytorch_model.bin")


class Address(NamedTuple):
    """A file of a hub repository: `files` are the names it may have, the best first."""

    repository: str
    revision: str | None
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}" if self.revision else self.repository


def address(backbone: str) -> Address:
    """Where the hub has the weights: by the manifest's row, else by timm's name.

    Raises:
        WeightsNotFoundError: Neither names an address.
    """
    row = row_for(backbone)
    if row is not None:
        if row.hub is None:
            message = "weights/manifest.yaml names no hub address for it"
            raise WeightsNotFoundError(message)
        if "/" in row.hub:
            return _parse(row.hub, None)
        return _timm_address(f"{row.architecture}.{row.hub}")
    return _timm_address(backbone)


def cached(place: Address) -> Path | None:
    """The file in huggingface_hub's cache, without a look at the network."""
    from huggingface_hub import try_to_load_from_cache

    for name in place.files:
        found = try_to_load_from_cache(place.repository, name, revision=place.revision)
        if isinstance(found, str):
            return Path(found)
    return None


def download(place: Address) -> Path:
    """The file, from the cache or the network.

    Raises:
        WeightsNotFoundError: The hub cannot be reached within seconds, or does not have the file.
    """
    found = cached(place)
    if found is not None:
        return found
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    reason = "no such file"
    for name in place.files:
        try:
            get_hf_file_metadata(hf_hub_url(place.repository, name, revision=place.revision), timeout=_SECONDS)
            logger.info("downloading %s from hub repository %s", name, place)
            return Path(hf_hub_download(place.repository, name, revision=place.revision, etag_timeout=_SECONDS))
        except LocalEntryNotFoundError as error:
            reason = _one_line(error)
            break
        except EntryNotFoundError as error:
            reason = _one_line(error)
        except Exception as error:  # the HTTP library's own kinds, which differ between huggingface_hub's versions
            reason = _one_line(error)
            break
    message = f"{place}: {reason}"
    raise WeightsNotFoundError(message)


def cache_folder() -> Path:
    """Where huggingface_hub keeps what it has fetched."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _timm_address(name: str) -> Address:
    import timm

    from extensions.backbones.registry import register

    register()
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # unknown tag
        message = f"timm has no address for it ({error})"
        raise WeightsNotFoundError(message) from error
    if config is not None and config.hf_hub_id:
        return _parse(config.hf_hub_id, config.hf_hub_filename)
    if config is not None and config.url:
        message = f"timm has only {config.url}: download it and give it as `weights`"
        raise WeightsNotFoundError(message)
    message = "timm has no address for it"
    raise WeightsNotFoundError(message)


def _parse(hub_id: str, file: str | None) -> Address:
    repository, _, revision = hub_id.partition("@")
    return Address(repository, revision or None, (file,) if file else _FILES)


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
