"""What an augmentation is to do, as its configuration says it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from extensions.configuration.errors import ConfigError, did_you_mean

IDENTITY = "identity"
NAMES = (IDENTITY, "random_crop", "autocontrast", "rotation", "gaussian_blur", "solarize", "flip")
WHERE = ("train", "test", "tta", "both")
MERGES = ("mean", "max")
MAX_VIEWS = 1000


@dataclass(frozen=True)
class AugmentationSettings:
    """One augmentation and where it is used.

    Args:
        name: One of `NAMES`, see `extensions.transforms.augmentation`.
        where: `train`: each training image is augmented anew in each epoch; `test`: each test image once; `both`:
            these two; `tta`: a test image is seen in several views whose scores and maps are merged.
        n_views: Of `tta`: views of a test image, the first of them the image as it is.
        merge: Of `tta`: `mean` or `max` of the views.

    Raises:
        ConfigError: A value that cannot be; it lists those that can.
    """

    name: str
    where: str = "train"
    n_views: int = 8
    merge: str = "mean"

    def __post_init__(self) -> None:
        for key, known in (("name", NAMES), ("where", WHERE), ("merge", MERGES)):
            found = getattr(self, key)
            if found not in known:
                near = did_you_mean(str(found), known, list_all=True)
                msg = f"augmentation: {key}: there is no {found!r}{near}"
                raise ConfigError(msg)
        if type(self.n_views) is not int or not 2 <= self.n_views <= MAX_VIEWS:
            msg = (
                f"augmentation: n_views: found {self.n_views!r}, expected a whole number from 2 to {MAX_VIEWS}; the "
                "first view is the image as it is (for one augmented view of each image say where: test)"
            )
            raise ConfigError(msg)

    @property
    def in_training(self) -> bool:
        """Whether training images are augmented."""
        return self.where in ("train", "both")

    @property
    def in_test(self) -> bool:
        """Whether test images are."""
        return self.where != "train"

    @property
    def told(self) -> dict[str, Any]:
        """What decides a result: the views and their merging of `tta` alone."""
        told = {"name": self.name, "where": self.where}
        return told | ({"n_views": self.n_views, "merge": self.merge} if self.where == "tta" else {})

    def __str__(self) -> str:
        """As in a table: `rotation (tta, 8 views, mean)`."""
        views = f", {self.n_views} views, {self.merge}" if self.where == "tta" else ""
        return f"{self.name} ({self.where}{views})"


def read_augmentation(section: Any) -> tuple[AugmentationSettings, ...]:
    """The augmentations of a section `augmentation:`; none for nothing and for the identity, which is the plain run.

    Args:
        section: Arguments of `AugmentationSettings`, or a list of up to two of them: one for training images and
            another one for test images.

    Raises:
        ConfigError: An unknown key, a value that cannot be, or two for the same images.
    """
    entries = section if isinstance(section, list | tuple) else [section]
    found = [_read(entry) for entry in entries if entry is not None]
    for name, is_used in (("training", "in_training"), ("test", "in_test")):
        twice = [str(one) for one in found if getattr(one, is_used)]
        if len(twice) > 1:
            msg = f"augmentation: {' and '.join(twice)} are both for {name} images, expected one"
            raise ConfigError(msg)
    return tuple(sorted((one for one in found if one.name != IDENTITY), key=lambda one: one.in_test))


def _read(entry: Any) -> AugmentationSettings:
    known = [field.name for field in fields(AugmentationSettings)]
    if not isinstance(entry, Mapping) or "name" not in entry:
        msg = f"augmentation: found {entry!r}, expected 'name: one of {', '.join(NAMES)}' and 'where: …'"
        raise ConfigError(msg)
    for key in entry:
        if key not in known:
            near = did_you_mean(str(key), known, list_all=True)
            msg = f"augmentation: there is no key {key!r}{near}"
            raise ConfigError(msg)
    return AugmentationSettings(**entry)


def described(augmentations: Sequence[AugmentationSettings]) -> str:
    """All of them in one line, empty for none."""
    return " + ".join(map(str, augmentations))
