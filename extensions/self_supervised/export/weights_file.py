"""From a pretrained encoder to a backbone with a name: a file in the weights folder and its row in the manifest."""

import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from extensions.backbones.manifest import rows_of, weights_folder
from extensions.configuration import ConfigError, load_config
from extensions.runtime.atomic_write import write_whole
from extensions.self_supervised.export.registration_file import check_registration
from extensions.self_supervised.fit.pretraining import ENCODER, RECORD
from extensions.self_supervised.methods.encoder import build_encoder, load_encoder

MANIFEST = "manifest.yaml"


def export(output: Path, *, tag: str, license: str, config: Path, half: bool = True, replace: bool = False) -> Path:
    """Write `<arch>.<tag>.safetensors` and its manifest row; models then take `backbone: <arch>.<tag>`.

    Of a `Registration` it is the whole network, for `extensions.RegAd` as `registration: <arch>.<tag>.safetensors`; the
    backbone in it can be taken by its name, too. Convolutions are stored in half precision, what belongs to
    normalization in single.

    Args:
        output: Folder of a finished pretraining.
        tag: Letters, digits, `_` and `-`.
        license: SPDX identifier or a sentence, for the manifest; that of the images often binds the weights.
        config: That was pretrained with, for the manifest.
        half: False stores all in single precision.
        replace: Whether other weights of the same name may be replaced.

    Returns:
        The file.

    Raises:
        ConfigError: Other weights of that name are there, nothing finished in the folder, a tag that cannot be, or
            embeddings that collapsed.
        WeightsError: The encoder does not fit its architecture.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", tag or ""):
        msg = f"export.tag is {tag!r}; expected letters, digits, _ and -, such as simclr_parts"
        raise ConfigError(msg)
    record, tensors = _read(output)
    backbone = str(record["backbone"]).split(".", 1)[0]
    if registered := record.get("network"):
        check_registration(backbone, tensors, origin=str(output / ENCODER), **registered)
    else:
        load_encoder(build_encoder(backbone), tensors, name=backbone, origin=str(output / ENCODER))
    stored = {key: tensor.half() if half and _shrinks(tensor) else tensor for key, tensor in tensors.items()}
    from safetensors.torch import save

    told = {"backbone": backbone, **{key: json.dumps(value) for key, value in (registered or {}).items()}}
    content = save(stored, metadata=told)
    folder, name = weights_folder(), f"{backbone}.{tag}"
    file = folder / f"{name}.safetensors"
    digest = hashlib.sha256(content).hexdigest()
    known = next((row for row in rows_of(folder) if row.name == name), None)
    if not replace and (file.exists() or known is not None) and (known is None or known.sha256 != digest):
        msg = f"{file}: there are other weights of this name; give another export.tag, or replace them with --replace"
        raise ConfigError(msg)
    row = {
        "name": name,
        "file": file.name,
        "sha256": digest,
        "license": license,
        "normalization": record["normalization"],
        "how_made": _how_made(record, config),
    }
    row |= {"layers": registered["layers"], "key_map": "registration"} if registered else {}
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".manifest.lock", timeout=60):
        text = _with_row(folder / MANIFEST, row)
        write_whole(file, content)
        write_whole(folder / MANIFEST, text)
        rows_of(folder)  # raises where the manifest cannot be read any more
    return file


def _shrinks(tensor: torch.Tensor) -> bool:
    return tensor.ndim > 1 and tensor.dtype == torch.float32 and float(tensor.abs().max()) < 6e4


def _read(output: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = output / RECORD
    if not path.is_file():
        msg = f"{path} is not there: finish the pretraining first, python -m extensions.self_supervised fit"
        raise ConfigError(msg)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        content = (output / ENCODER).read_bytes()
        tensors = load(content)
        collapsed, expected = record["collapsed_at"], record["encoder_sha256"]
        for key in ("backbone", "normalization", "method", "images", "epochs", "config"):
            record[key]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        msg = f"{output}: {RECORD} and {ENCODER} cannot be read ({error}); run fit again with --restart"
        raise ConfigError(msg) from error
    if hashlib.sha256(content).hexdigest() != expected:
        msg = f"{output / ENCODER} is not the one that {RECORD} was written with; run fit again with --restart"
        raise ConfigError(msg)
    if collapsed is not None:
        msg = (
            f"{output}: the embeddings collapsed in epoch {collapsed}; weights that tell nothing apart are no backbone"
        )
        raise ConfigError(msg)
    return record, tensors


def _how_made(record: dict[str, Any], config: Path) -> str:
    images = record["images"]
    counts = ", ".join(f"{name} {count}" for name, count in images["classes"].items())
    changed = [part for change in _changes(record["config"], config) for part in ("--set", change)]
    command = shlex.join(["python", "-m", "extensions.self_supervised", "fit", "--config", _shown(config), *changed])
    return (
        f"{record['method']} on {images['n']} images ({counts}; sha256 of their list {images['sha256'][:16]}), "
        f"{record['epochs']} epochs at {record['config']['data']['init_args'].get('image_size', 96)} px, seed "
        f"{record['config'].get('seed', 0)}: {command}"
    )


def _changes(config: dict[str, Any], path: Path) -> list[str]:
    """What `--set` changed of model, data and trainer in the file's configuration, `key=value`; without a file none."""
    if not path.is_file():  # pretrained in a notebook
        return []
    asked = load_config(path)
    changes: dict[str, Any] = {}
    for part in ("model", "data"):
        before, after = (whole[part].get("init_args") or {} for whole in (asked, config))
        changed = {key: value for key, value in after.items() if before.get(key) != value and key != "num_workers"}
        changes |= {f"{part}.init_args.{key}": value for key, value in changed.items()}
    known = asked.get("trainer") or {}
    changes |= {
        f"trainer.{key}": value for key, value in (config.get("trainer") or {}).items() if known.get(key) != value
    }
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in changes.items()]


def _shown(config: Path) -> str:
    """The path from the project's folder on where it lies in it, else the file's name."""
    root = Path(__file__).resolve().parents[3]
    path = config.resolve()
    return path.relative_to(root).as_posix() if root in path.parents else path.name


def _with_row(manifest: Path, row: dict[str, Any]) -> str:
    """The manifest's text with the row at its end, in place of one of the same name; comments and other rows stay."""
    import yaml

    text = manifest.read_text(encoding="utf-8") if manifest.is_file() else ""
    parts = re.split(r"(?m)^(?=- )", text)
    kept = []
    for part in parts:
        rows = yaml.safe_load(part)
        if not (isinstance(rows, list) and len(rows) == 1 and rows[0].get("name") == row["name"]):
            kept.append(part)
    entry = yaml.safe_dump([row], sort_keys=False, width=118, allow_unicode=True, default_flow_style=None)
    return "".join(part.rstrip("\n") + "\n\n" for part in kept if part.strip()) + entry
