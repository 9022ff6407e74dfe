"""Whether a detector is trained on several products together or on one, and how a data set's arguments say it."""

from collections.abc import Mapping
from typing import Any

ONE_FOR_ALL, ONE_EACH = "one_for_all", "one_each"
"""One detector is trained on several products together; or each has its own."""
ALL = "all"
"""In place of a category: every one that is there."""
PRODUCT = "product"
"""The column of the samples that names the product of each image."""
TESTED = ("test_category", "test_product")
"""Arguments that name the one product of several that is tested on."""


def spans_products(arguments: Mapping[str, Any]) -> bool:
    """Whether the arguments of a datamodule name several products, or all that are there."""
    category, products = arguments.get("category"), arguments.get("products")
    return category == ALL or isinstance(category, list | tuple) or bool(products)


def training_of(arguments: Mapping[str, Any]) -> str:
    """`ONE_FOR_ALL` or `ONE_EACH`, as far as the arguments of a datamodule tell without its files."""
    category, products = arguments.get("category"), arguments.get("products")
    are_several = category == ALL or any(isinstance(one, list | tuple) and len(one) > 1 for one in (category, products))
    return ONE_FOR_ALL if are_several and arguments.get("training") != ONE_EACH else ONE_EACH


def tested_product(arguments: Mapping[str, Any]) -> str | None:
    """The one product of several that is tested on; None where all are."""
    return next((arguments[name] for name in TESTED if arguments.get(name)), None)
