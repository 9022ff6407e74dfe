"""Rows of `weights/manifest.yaml`: which weights belong to which backbone, and where they come from."""

import difflib
import os
import re
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from extensions.backbones.errors import ManifestError

CHECKOUT_WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


@dataclass(frozen=True)
class Row:
    """One set of weights.

    Args:
        name: Backbone as models name it: a timm architecture, or `arch.tag`.
        file: File name in the weights folder.
        distribution: Distribution on the package index that ships the file, as for pip (`name==version`).
        package_file: Glob of the file within that distribution.
        hub: timm's tag of this architecture, or the id (`owner/name`) of a hub repository.
        sha256: Checksum of `file` or of the package's file; None: not checked.
        license: SPDX identifier or a sentence.
        layers: Layers that `file` covers when it does not cover all.
        mean: Channel means the weights were trained with; None: timm's for the architecture.
        std: Channel standard deviations the weights were trained with.
        key_map: Function of `key_maps.py` that renames the file's tensors.
        how_made: Where the weights come from.
        manifest: The file this row stands in.
    """

    name: str
    file: str | None = None
    distribution: str | None = None
    package_file: str | None = None
    hub: str | None = None
    sha256: str | None = None
    license: str = "not stated"
    layers: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    key_map: str | None = None
    how_made: str = ""
    manifest: Path | None = None

    @property
    def architecture(self) -> str:
        """The name without its tag."""
        return self.name.split(".", 1)[0]


def weights_folder() -> Path:
    """`$WORKBENCH_WEIGHTS`, else `weights/` of the checkout."""
    return Path(os.environ.get("WORKBENCH_WEIGHTS") or CHECKOUT_WEIGHTS).expanduser().resolve()


def rows() -> dict[str, Row]:
    """All rows by name: those of the checkout, then those of `manifest.yaml` in the weights folder, which win.

    Raises:
        ManifestError: A row has an unknown key, no name, two sources of one kind or a malformed value.
    """
    folders = dict.fromkeys((CHECKOUT_WEIGHTS, weights_folder()))
    return {row.name: row for folder in folders for row in rows_of(folder)}


def rows_of(folder: Path) -> tuple[Row, ...]:
    """The rows of one folder's `manifest.yaml`, none if it has no such file; errors as `rows`."""
    path = folder / "manifest.yaml"
    if not path.is_file():
        return ()
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


def row_for(backbone: str) -> Row | None:
    """The row of exactly this name; the row of another tag is another set of weights."""
    return rows().get(backbone)


@lru_cache(maxsize=16)
def _read(path: Path, size: int, mtime_ns: int) -> tuple[Row, ...]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path}: not valid YAML in UTF-8: {' '.join(str(error).split())}"
        raise ManifestError(message) from error
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        message = f"{path}: expected a list of rows, each with `name:` and a source; see weights/README.md"
        raise ManifestError(message)
    parsed = tuple(_parse(item, path) for item in content)
    names = [row.name for row in parsed]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        message = f"{path}: two rows have the name {twice[0]!r}; give one of them another tag (`arch.tag`)"
        raise ManifestError(message)
    return parsed


_KEYS = ("name", "file", "package", "hub", "sha256", "license", "layers", "normalization", "key_map", "how_made")


def _parse(item: dict[str, Any], path: Path) -> Row:
    """One row with its nested keys (`package`, `normalization`) flattened."""
    name = item.get("name")
    where = f"{path}, row {name!r}"
    if not isinstance(name, str) or not re.fullmatch(r"\w+(\.[\w.-]+)?", name):
        message = f"{where}: `name` must be a timm architecture or `arch.tag`, like resnet18 or resnet18.my_parts"
        raise ManifestError(message)
    if "vit" in name.lower() and "vit" not in name.split(".", 1)[0].lower():
        message = f"{where}: anomalib takes every name with 'vit' in it for a vision transformer; choose another tag"
        raise ManifestError(message)
    for key in item:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            message = f"{where}: unknown key {key!r}; {f'did you mean {near[0]!r}' if near else f'known: {_KEYS}'}"
            raise ManifestError(message)
    package = _mapping(item, "package", ("distribution", "file"), where)
    normalization = _mapping(item, "normalization", ("mean", "std"), where)
    values = {key: item[key] for key in item if key in {field.name for field in fields(Row)}}
    values |= {"distribution": package.get("distribution"), "package_file": package.get("file")}
    values |= {key: tuple(float(v) for v in value) for key, value in normalization.items()}
    if item.get("layers") is not None:
        values["layers"] = tuple(item["layers"])
    _check_sources(item, where)
    return Row(**values, manifest=path)


def _mapping(item: dict[str, Any], key: str, expected: tuple[str, str], where: str) -> dict[str, Any]:
    value = item.get(key) or {}
    if not isinstance(value, dict) or (value and set(value) != set(expected)):
        message = f"{where}: `{key}` must have the keys {expected[0]} and {expected[1]}, found {value!r}"
        raise ManifestError(message)
    return value


def _check_sources(item: dict[str, Any], where: str) -> None:
    if not any(item.get(key) for key in ("file", "package", "hub")):
        message = f"{where}: no source; give `file`, `package` or `hub`"
        raise ManifestError(message)
    sha256 = item.get("sha256")
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", str(sha256)):
        message = (
            f"{where}: `sha256` must be 64 lower-case hexadecimal digits in quotes (see `sha256sum FILE`), "
            f"found {sha256!r}"
        )
        raise ManifestError(message)
    if item.get("key_map") is not None:
        from extensions.backbones.key_maps import KEY_MAPS

        if item["key_map"] not in KEY_MAPS:
            message = f"{where}: no key map {item['key_map']!r} in key_maps.py; known: {', '.join(KEY_MAPS)}"
            raise ManifestError(message)
