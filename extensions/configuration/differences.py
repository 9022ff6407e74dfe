"""What differs between an object and another one that was built from the same arguments."""

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from extensions.configuration.python_numbers import python_numbers

_ATTACHED = ("post_processor", "evaluator", "visualizer")  # parts of a model that change no raw score
_CHANGES = {"training", "trainer", *_ATTACHED}  # by whoever uses the object, without a change of what it is


def difference(given: Any, built: Any) -> str | None:
    """The first part, shape or plain attribute that differs, in words; None for none.

    Values of tensors are not compared, but those of the weights that a backbone loaded are.

    Args:
        given: A model or a datamodule.
        built: One of the same class.
    """
    if not hasattr(given, "named_modules"):
        return _attributes(given, built, "")
    parts, expected = _parts(given), _parts(built)
    for name in parts.keys() | expected.keys():
        if name not in parts or name not in expected:
            return f"its part {name!r} was {'added' if name in parts else 'removed'}"
    for name, part in parts.items():
        if type(part) is not type(expected[name]):
            return f"{name or 'it'} is a {type(part).__name__}, not a {type(expected[name]).__name__}"
        if found := _attributes(part, expected[name], f"{name}." if name else ""):
            return found
    seen, wanted = (
        in_one_line(getattr(getattr(part, "pre_processor", None), "transform", None)) for part in (given, built)
    )
    if seen != wanted:
        return f"its pre_processor does {seen}, not {wanted}"
    extractor = f"model.{getattr(given, 'extractor_name', '')}."
    loaded = getattr(given, "backbone_weights", None) is not None
    return tensor_difference(given, built, only=extractor if loaded else None)


def tensor_difference(given: Any, built: Any, *, only: str | None = "") -> str | None:
    """The first tensor of another shape, or of other values, in words; None for none.

    Args:
        given: A model.
        built: Another one.
        only: Beginning of the names whose values are compared; None compares shapes alone.
    """
    import torch

    tensors, expected = given.state_dict(), built.state_dict()
    for name, tensor in tensors.items():
        if name.startswith(tuple(f"{part}." for part in _ATTACHED)):
            continue
        other = expected.get(name)
        if other is None or tensor.shape != other.shape:
            return f"{name} is {_shape(tensor)}, not {_shape(other)}"
        if only is not None and name.startswith(only) and not torch.equal(tensor.cpu(), other.cpu()):
            return f"the values of {name} are others"
    return None


def sample_difference(given: Any, built: Any) -> str | None:
    """The first split of a datamodule that holds other samples, in words; None for none. Their order does not matter.

    Without a seed anomalib's datamodules split differently each time, so all samples are compared together.

    Args:
        given: A datamodule that was set up.
        built: One of the same class and arguments, set up too.
    """
    samples: list[Counter[tuple[str, ...]]] = [Counter(), Counter()]
    for split in ("train_data", "val_data", "test_data"):
        pair = getattr(given, split, None), getattr(built, split, None)
        if type(pair[0]) is not type(pair[1]):
            return f"its {split} is a {type(pair[0]).__name__}, not a {type(pair[1]).__name__}"
        rows = [_rows(getattr(dataset, "samples", None)) for dataset in pair]
        if getattr(built, "seed", 0) is None:
            samples = [before + more for before, more in zip(samples, rows, strict=True)]
        elif rows[0] != rows[1]:
            return _other_rows(f"its {split} holds", *rows)
    return None if samples[0] == samples[1] else _other_rows("its splits hold", *samples)


def _rows(samples: Any) -> Counter[tuple[str, ...]]:
    """How often each image stands in a split with each mask and label."""
    columns = [name for name in ("image_path", "mask_path", "label_index") if name in getattr(samples, "columns", ())]
    return Counter(zip(*(map(str, samples[name]) for name in columns), strict=True)) if columns else Counter()


def _other_rows(which: str, found: Counter[tuple[str, ...]], wanted: Counter[tuple[str, ...]]) -> str:
    if found.total() != wanted.total():
        return f"{which} {found.total()} samples, not {wanted.total()}"
    return f"{which} {' '.join(min(found - wanted))}, not {' '.join(min(wanted - found))}"


def _parts(model: Any) -> dict[str, Any]:
    return {name: part for name, part in model.named_modules() if name.split(".")[0] not in _ATTACHED}


def _attributes(given: Any, built: Any, where: str) -> str | None:
    """The first public attribute with a plain value that differs, or a method that was put in by hand."""
    for name, value in vars(given).items():
        if name.startswith("_") or name in _CHANGES:
            continue
        if name not in vars(built):
            if callable(value) and hasattr(type(given), name):
                return f"{where}{name} was replaced by hand"
            continue
        value, other = (_listed(python_numbers(one)) for one in (value, vars(built)[name]))
        if _is_plain(value) and _is_plain(other) and value != other and str(value) != str(other):  # a path is its text
            return f"{where}{name} is {value!r}, not {other!r}"
        if _is_plain(value) != _is_plain(other):
            return f"{where}{name} is a {type(value).__name__}, not a {type(other).__name__}"
    return None


def _listed(value: Any) -> Any:
    """Tuples as lists, which is what a configuration makes of them."""
    if isinstance(value, list | tuple):
        return [_listed(one) for one in value]
    return {name: _listed(one) for name, one in value.items()} if type(value) is dict else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, bool | int | float | str | PurePath | Enum)


def in_one_line(transform: object) -> str:
    """A transform with its settings, as it is compared."""
    return " ".join(repr(transform).split())


def _shape(tensor: Any) -> str:
    return "not there" if tensor is None else "x".join(map(str, tensor.shape)) or "a number"
