"""The network in a checkpoint of `ConvAutoencoder`."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from anomalib.pre_processing import PreProcessor
from anomalib.utils.serialization import anomalib_safe_globals

from extensions.models.conv_autoencoder.torch_model import ConvAutoencoderModel


@dataclass(frozen=True)
class TrainedAutoencoder:
    """What was read from a checkpoint.

    Attributes:
        path: Of the file.
        state: Tensors of the network.
        settings: Init arguments of the model that wrote it.
        pre_processor: That it was trained with.
    """

    path: Path
    state: dict[str, torch.Tensor]
    settings: dict[str, Any]
    pre_processor: PreProcessor | bool

    def put_into(self, model: ConvAutoencoderModel) -> None:
        """Copy the tensors into a network of the same sizes.

        Raises:
            ValueError: It is of other sizes; the message says of which the checkpoint's is.
        """
        own = model.state_dict()
        if any(own[name].shape != tensor.shape for name, tensor in self.state.items()):
            names = [
                name for name in ("latent_dim", "image_size", "center_crop") if self.settings.get(name) is not None
            ]
            msg = (
                f"{self.path}: this autoencoder is of another size than the model: build the model with "
                f"{', '.join(f'{name}={self.settings[name]}' for name in names)}."
            )
            raise ValueError(msg)
        model.load_state_dict(own | self.state)


def read_autoencoder(path: Path) -> TrainedAutoencoder:
    """Read the network of a `ConvAutoencoder`, or of an `AutoencoderOcSvm`; nothing is unpickled.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is none of them.
    """
    if not path.is_file():
        msg = f"autoencoder_checkpoint {path}: there is no such file; expected the checkpoint of a ConvAutoencoder"
        raise FileNotFoundError(msg)
    try:
        with anomalib_safe_globals():
            stored = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {name.removeprefix("model."): tensor for name, tensor in stored["state_dict"].items()}
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError, AttributeError) as error:
        msg = f"autoencoder_checkpoint {path}: not a checkpoint of plain tensors; expected that of a ConvAutoencoder"
        raise ValueError(msg) from error
    wanted = ConvAutoencoderModel(image_size=(32, 32), latent_dim=1).state_dict()
    if missing := [name for name in wanted if name not in tensors]:
        msg = (
            f"autoencoder_checkpoint {path}: it has no {missing[0]}, so it is of another model; expected the "
            "checkpoint of a ConvAutoencoder"
        )
        raise ValueError(msg)
    return TrainedAutoencoder(
        path, {name: tensors[name] for name in wanted}, dict(stored.get("hyper_parameters", {})), _pre_processor(stored)
    )


def _pre_processor(stored: dict[str, Any]) -> PreProcessor | bool:
    """As it was, or the default where the checkpoint could not hold it."""
    config = stored.get("anomalib_pre_processor_config")
    if config is None:
        return stored.get("anomalib_components_enabled", {}).get("pre_processor", True)
    pre_processor = PreProcessor()
    pre_processor.load_checkpoint_config(config)
    return pre_processor
