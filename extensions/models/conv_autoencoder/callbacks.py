"""Watching an autoencoder learn: what it makes of the same few images, beside its loss."""

import math
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from extensions.models.conv_autoencoder.loss import reconstruction_error
from extensions.runtime.atomic_write import write_whole

CELL = 1.4  # inches, side of an image


class ReconstructionStrip(Callback):
    """Draws image, reconstruction and squared error of a few images beside the loss of all epochs so far.

    The images are the same each time: held-out training images, else training images, evenly spread. Nothing is
    drawn at random and no test image is looked at; the training is the same without it. In a notebook the drawing is
    shown and redrawn in its place.

    Args:
        every_n_epochs: Epochs between two drawings; the last epoch is drawn, too.
        folder: Gets `epoch_<number>.png`; None saves nothing.
        n_images: How many images.

    Raises:
        ValueError: A number below 1.

    Example:
        >>> Engine(max_epochs=100, callbacks=[ReconstructionStrip(10, "output/strips")]).fit(ConvAutoencoder(), Elpv())
    """

    def __init__(
        self, every_n_epochs: int = 10, folder: str | Path | None = "output/reconstructions", n_images: int = 4
    ) -> None:
        for name, value in (("every_n_epochs", every_n_epochs), ("n_images", n_images)):
            if value < 1:
                msg = f"{name} is {value}; expected 1 or more."
                raise ValueError(msg)
        self.every_n_epochs, self.n_images = every_n_epochs, n_images
        self.folder = None if folder is None else Path(folder)
        self.losses: dict[str, list[float]] = {"train_loss": [], "val_loss": []}
        self._images: torch.Tensor | None = None
        self._shown: Any = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin a new curve.

        Raises:
            TypeError: The model draws no images.
        """
        if not hasattr(pl_module, "reconstruct"):
            msg = f"ReconstructionStrip: {type(pl_module).__name__} reconstructs no images; take it out of callbacks"
            raise TypeError(msg)
        self.losses = {name: [] for name in self.losses}
        self._images = self._shown = None

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Note the losses, and draw where it is time."""
        found = trainer.callback_metrics
        for name, values in self.losses.items():
            values.append(float(found.get(f"{name}_epoch", found.get(name, math.nan))))
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs and epoch != trainer.max_epochs:
            return
        if self._images is None:
            self._images = _fixed_images(trainer, pl_module, self.n_images)
        again = pl_module.reconstruct(self._images).cpu()
        content = strip_image(self._images.cpu(), again, self.losses)
        if self.folder is not None:
            write_whole(self.folder / f"epoch_{epoch:04}.png", content)
        self._show(content)

    def _show(self, content: bytes) -> None:
        """Redraw in a notebook; nothing elsewhere."""
        ipython: Any = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython else None
        if shell is None or not hasattr(shell, "kernel"):
            return
        from IPython.display import Image, display

        if self._shown is None:
            self._shown = display(Image(content), display_id=True)
        else:
            self._shown.update(Image(content))


def strip_image(images: torch.Tensor, reconstructions: torch.Tensor, losses: dict[str, list[float]]) -> bytes:
    """Draw the strip as PNG: a column an image, with image, reconstruction and error below each other; the losses.

    Args:
        images: (N, 3, H, W) in 0 to 1.
        reconstructions: Likewise.
        losses: By name, one value an epoch; NaN where there is none.
    """
    from matplotlib.figure import Figure

    errors = reconstruction_error(reconstructions, images)[:, 0].numpy()  # (N, H, W)
    n_images = len(images)
    figure = Figure(figsize=(CELL * (n_images + 4), CELL * 3), layout="constrained")
    grid = figure.add_gridspec(3, n_images + 3)
    rows = ("image", images), ("reconstruction", reconstructions), ("squared error", errors)
    for row, (title, content) in enumerate(rows):
        for column in range(n_images):
            axes = figure.add_subplot(grid[row, column])
            axes.set(xticks=[], yticks=[], ylabel="" if column else title)
            if row == 2:
                axes.imshow(content[column], cmap="inferno", vmin=0, vmax=max(float(errors.max()), 1e-12))
            else:
                axes.imshow(np.moveaxis(content[column].clamp(0, 1).numpy(), 0, -1))
    axes = figure.add_subplot(grid[:, n_images:])
    for name, values in losses.items():
        if np.isfinite(values).any():
            axes.plot(range(1, len(values) + 1), values, label=name.replace("_", " "))
    axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    axes.legend()
    png = BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()


def _fixed_images(trainer: Any, module: Any, n_images: int) -> torch.Tensor:
    """(n, 3, H, W), pre-processed."""
    from extensions.models.common.held_out_mixin import holds_out_training_images

    loaders = trainer.val_dataloaders
    held_out = holds_out_training_images(trainer) and loaders is not None
    loader = (loaders[0] if isinstance(loaders, list) else loaders) if held_out else trainer.train_dataloader
    data = loader.dataset
    places = np.unique(np.linspace(0, len(data) - 1, n_images).round().astype(int))
    with torch.random.fork_rng(devices=[]):  # augmentations draw, and training shall not notice
        batch = loader.collate_fn([data[int(place)] for place in places])
    moved = trainer.strategy.batch_to_device(batch)
    if module.pre_processor is not None:
        module.pre_processor.on_train_batch_start(trainer, module, moved, 0)
    return moved.image
