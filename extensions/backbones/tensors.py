"""Reading the tensors of a weights file without running code from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extensions.backbones.errors import WeightsError

if TYPE_CHECKING:
    import torch

_NESTS = ("state_dict", "model_state_dict", "model", "net", "network", "backbone", "encoder", "weights")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a `.safetensors`, `.pth`, `.pt`, `.bin` or `.ckpt` file by name, on the CPU.

    A dictionary nested under `state_dict`, `model` or the like is found; what is not a tensor is left out.

    Raises:
        WeightsError: The file is damaged, holds no tensors, or holds objects that only unpickling would load.
    """
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    tensors = _find_tensors(content)
    if not tensors:
        shown = f"a dictionary with {sorted(map(str, content))[:5]}" if isinstance(content, dict) else type(content)
        message = f"{path}: found {shown}, expected named tensors; save a network's state_dict()"
        raise WeightsError(message)
    return tensors


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        message = f"{path}: cannot be read as safetensors ({error}); get or save the file again"
        raise WeightsError(message) from error


def _read_torch(path: Path) -> Any:
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(_refused(path, error)) from error
    except Exception as error:  # a damaged archive raises RuntimeError, EOFError, KeyError, ValueError and others
        message = f"{path}: cannot be read as PyTorch weights ({type(error).__name__}: {_first_line(error)}); "
        raise WeightsError(message + "get or save the file again") from error


def _refused(path: Path, error: Exception) -> str:
    """What stands in the file beside tensors, and how to convert it."""
    import torch

    try:
        objects = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # files of PyTorch before 1.6 are no archives
        objects = []
    objects = objects or sorted(set(re.findall(r"(?:GLOBAL|global|class) `?([\w.]+\.[\w.]+)", str(error))))
    if not objects:
        return f"{path}: cannot be read as PyTorch weights ({_first_line(error)}); get or save the file again"
    return (
        f"{path}: holds objects of type {', '.join(objects[:3])}, expected only tensors (unpickling objects can run "
        "any code); if you trust the file, convert it once where it was made: "
        "m = torch.load(PATH, weights_only=False); m = getattr(m, 'state_dict', lambda: m)(); "
        "m = m.get('state_dict', m); "
        "torch.save({k: v for k, v in m.items() if torch.is_tensor(v)}, 'converted.pth')"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]


def _find_tensors(content: Any, depth: int = 3) -> dict[str, torch.Tensor]:
    """The tensors of a dictionary, or of the nested one that holds a network."""
    import torch

    if not isinstance(content, dict) or depth == 0:
        return {}
    for key in _NESTS:
        if nested := _find_tensors(content.get(key), depth - 1):
            return nested
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
