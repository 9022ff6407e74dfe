"""A data set of several products in a plan: one run for each product that is tested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from extensions.configuration import ConfigError
from extensions.data.joint_training import ONE_FOR_ALL, spans_products, training_of


def per_product(spec: dict[str, Any], *, refined: bool, data_root: Path | None = None) -> list[dict[str, Any]]:
    """An entry of `data` once for each of its products, which that run tests; those of one training stand together.

    Args:
        spec: `class_path` and `init_args`; of one product, or of several whose folders are not there, it stays as it
            is.
        refined: Some run of the plan refines its training images. With one model for all products such a run is one
            for all of them: what is removed is one list. So are those that it is compared with.
        data_root: Where relative roots start; None for `$WORKBENCH_DATA`, else the working directory.

    Raises:
        ConfigError: Products that cannot be.
    """
    from extensions.configuration import instantiate_data
    from extensions.data import DatasetMissingError

    arguments = spec.get("init_args") or {}
    if not spans_products(arguments) or (refined and training_of(arguments) == ONE_FOR_ALL):
        return [spec]
    try:
        datamodule = instantiate_data(spec, data_root)
        if not hasattr(datamodule, "per_product"):  # anomalib's own
            return [spec]
        return [{**spec, "init_args": found} for found in datamodule.per_product(arguments)]
    except DatasetMissingError:  # its run says so
        return [spec]
    except ValueError as error:
        raise ConfigError(str(error)) from error
