"""The one configuration dialect: YAML with `class_path`/`init_args`, for anomalib's CLI, benchmark and notebooks.

config = load_config(Path("configs/models/patchcore.yaml"), overrides=["model.init_args.num_neighbors=5"])
model = instantiate_model(config["model"])
"""

from extensions.configuration.components import (
    check_data,
    check_model,
    describe_data,
    describe_model,
    instantiate_callback,
    instantiate_data,
    instantiate_logger,
    instantiate_model,
)
from extensions.configuration.document import apply_overrides, load_config
from extensions.configuration.errors import ConfigError
from extensions.configuration.objects import spec_of

__all__ = [
    "ConfigError",
    "apply_overrides",
    "check_data",
    "check_model",
    "describe_data",
    "describe_model",
    "instantiate_callback",
    "instantiate_data",
    "instantiate_logger",
    "instantiate_model",
    "load_config",
    "spec_of",
]
