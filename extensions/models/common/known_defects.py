"""Defects among the training images that are marked as such, and models that cannot learn from them."""

from typing import Any

import pandas as pd


def is_known_defect(samples: pd.DataFrame) -> pd.Series:
    """Which samples are defects that are trained on as what they are, bool by row."""
    return samples["known"].eq(True) if "known" in samples else pd.Series(data=False, index=samples.index)


def check_known_defects(model: Any, datamodule: Any) -> None:
    """Refuse known defects among the training images of a model that would take them for good ones.

    A model class that learns from them says `learns_from_defects = True`.

    Raises:
        ValueError: It names the model, the data set, the number of defects, and what to do.
    """
    samples = getattr(getattr(datamodule, "train_data", None), "samples", None)
    if samples is None or getattr(model, "learns_from_defects", False):
        return
    if n := int(is_known_defect(samples).sum()):
        msg = (
            f"{type(model).__name__} learns from good images alone, but the training images of data set "
            f"{datamodule.name!r} hold {n} known defects: set known_defects to 0 and leave known_defects_dir out, or "
            "take a model that learns from them, such as extensions.Cdo"
        )
        raise ValueError(msg)
