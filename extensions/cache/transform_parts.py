"""Which part of a transform can be done once an image, and which is done each time."""

from torchvision.transforms import v2

# Transforms that give the same result each time, an image at a time or a batch at a time.
_FIXED = (v2.Resize, v2.CenterCrop, v2.Pad, v2.Grayscale, v2.ToDtype, v2.ToImage, v2.Identity)
_REPEATABLE = (v2.ToDtype, v2.ToImage, v2.Identity)


def split_transform(transform: v2.Transform | None) -> tuple[v2.Compose | None, v2.Compose | None] | None:
    """Split a model's transform into what shapes an image, done once, and the normalization after it.

    What follows the normalization belongs to it where it says that it `is_repeatable`.

    Args:
        transform: Of a pre-processor, None for none.

    Returns:
        The first part and the second, None for an empty one. None instead of both when something in the first part
        may be random, so that nothing may be kept.
    """
    steps = _steps(transform)
    last = len(steps)
    while last and (type(steps[last - 1]) is v2.Normalize or getattr(steps[last - 1], "is_repeatable", False)):
        last -= 1
    if not all(type(step) in _FIXED for step in steps[:last]):
        return None
    return _composed(steps[:last]), _composed(steps[last:])


def split_repeatable(transform: v2.Transform | None) -> tuple[v2.Compose | None, v2.Compose | None]:
    """Split off what changes nothing when it is done again: one resize, and conversions before and after it.

    So a pre-processor may do all of its work on images that have had the first part already.

    Returns:
        The first part and the rest, such as a crop of the center, None for an empty one.
    """
    steps = _steps(transform)
    n, n_resizes = 0, 0
    for step in steps:
        n_resizes += type(step) is v2.Resize
        if n_resizes > 1 or type(step) not in (v2.Resize, *_REPEATABLE):
            break
        n += 1
    return _composed(steps[:n]), _composed(steps[n:])


def gives_one_size(transform: v2.Compose | None) -> bool:
    """Whether images of any size come out in one and the same."""
    steps = _steps(transform)
    return any(type(step) is v2.CenterCrop or (type(step) is v2.Resize and len(step.size or ()) == 2) for step in steps)


def transform_repr(transform: v2.Transform | None) -> str:
    """The transform with all its settings in one line, for keys."""
    return " ".join(repr(transform).split())


def _composed(steps: list[v2.Transform]) -> v2.Compose | None:
    return v2.Compose(steps) if steps else None


def _steps(transform: v2.Transform | None) -> list[v2.Transform]:
    if transform is None:
        return []
    if type(transform) is v2.Compose:
        return [step for part in transform.transforms for step in _steps(part)]
    return [transform]
