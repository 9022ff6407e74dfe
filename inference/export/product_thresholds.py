"""Of a model that was trained on several products: the thresholds of each of them, beside the exported network.

One network scores the images of all products, but a threshold that was fitted on the images of one promises nothing for
another: what is normal scores higher on some products than on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from extensions.runtime.atomic_write import write_whole

PRODUCT_THRESHOLDS = "thresholds.csv"


@dataclass(frozen=True)
class ProductThreshold:
    """Of one product, on raw scores; see `inference.model.metadata.ModelInfo`.

    Attributes:
        run_key: Of the run that tested this product.
    """

    product: str
    threshold: float | None
    upper_threshold: float | None
    threshold_source: str | None
    promise: str | None
    run_key: str


def write_product_thresholds(found: Sequence[ProductThreshold], output: Path, *, key: str) -> str:
    """Write `thresholds.csv` into the folder of an exported network, and say what it holds.

    Args:
        found: By product.
        output: The folder.
        key: Of the run that was exported.
    """
    import pandas as pd

    frame = pd.DataFrame([asdict(one) for one in found], columns=[field.name for field in fields(ProductThreshold)])
    write_whole(output / PRODUCT_THRESHOLDS, frame.to_csv(index=False).encode())
    own = next((one.product for one in found if one.run_key == key), "one product")
    return (
        f"one model for {len(found)} products: its threshold is that of {own}; for another give `predict --threshold` "
        f"the value in {output / PRODUCT_THRESHOLDS}"
    )
