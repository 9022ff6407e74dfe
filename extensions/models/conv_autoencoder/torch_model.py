"""The autoencoder's network: five convolutions down, a linear bottleneck, five transposed convolutions up."""

import itertools

import torch
from anomalib.data import InferenceBatch
from anomalib.models.components import GaussianBlur2d
from torch import nn

from extensions.models.common.inside import find_inside
from extensions.models.conv_autoencoder.loss import reconstruction_error

CHANNELS = (3, 8, 16, 32, 64, 128)
STRIDE = 2 ** (len(CHANNELS) - 1)  # px of the image a position of the deepest feature map
SIGMA = 4  # px, of the blur of anomaly maps, as in PaDiM


class ConvAutoencoderModel(nn.Module):
    """Encodes images of one size into `latent_dim` numbers each and draws them again from these.

    Each convolution is 4 x 4 with stride 2, followed by batch normalization and a leaky ReLU of slope 0.2; the last one
    by a sigmoid.

    Shapes: images (N, 3, H, W) in 0 to 1 -> in training reconstructions (N, 3, H, W) in 0 to 1, else pred_score (N,)
    and anomaly_map (N, 1, H, W), both higher for more anomalous.

    Args:
        image_size: Height and width of images in px, multiples of 32.
        latent_dim: Numbers that stand for an image.
    """

    def __init__(self, *, image_size: tuple[int, int], latent_dim: int) -> None:
        super().__init__()
        self.image_size = image_size
        grid = (CHANNELS[-1], image_size[0] // STRIDE, image_size[1] // STRIDE)
        n_deepest = grid[0] * grid[1] * grid[2]
        down = [_halving(wide, deep) for wide, deep in itertools.pairwise(CHANNELS)]
        self.encoder = nn.Sequential(*itertools.chain(*down), nn.Flatten(), nn.Linear(n_deepest, latent_dim))
        up = [_doubling(deep, wide) for deep, wide in itertools.pairwise(CHANNELS[:0:-1])]
        last = nn.ConvTranspose2d(CHANNELS[1], CHANNELS[0], 4, stride=2, padding=1)
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, n_deepest), nn.Unflatten(1, grid), *itertools.chain(*up), last, nn.Sigmoid()
        )
        self.blur = GaussianBlur2d(sigma=SIGMA)
        self.to(memory_format=torch.channels_last)  # a quarter less time a step on a CPU

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latents (N, latent_dim) of images (N, 3, H, W).

        Raises:
            ValueError: The images are of another size than the network is for.
        """
        size = tuple(images.shape[-2:])
        if size != self.image_size:
            msg = (
                f"the autoencoder got images of {size[0]} x {size[1]} px, expected "
                f"{self.image_size[0]} x {self.image_size[1]}: build it with the image_size (or center_crop) that its "
                "pre-processor gives."
            )
            raise ValueError(msg)
        return self.encoder(images)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, H, W) in 0 to 1 from latents (N, latent_dim)."""
        return self.decoder(latents)

    def anomaly_map(self, error: torch.Tensor) -> torch.Tensor:
        """Blurred error of each pixel, both (N, 1, H, W)."""
        return self.blur(error)

    def forward(self, images: torch.Tensor) -> torch.Tensor | InferenceBatch:
        """Draw images again, or score them."""
        reconstructions = self.decode(self.encode(images))
        return reconstructions if self.training else self.score(images, reconstructions)

    def score(self, images: torch.Tensor, reconstructions: torch.Tensor) -> InferenceBatch:
        """Scores and maps of images from their reconstructions, both (N, 3, H, W)."""
        error = reconstruction_error(reconstructions, images)  # (N, 1, H, W)
        inside = find_inside(self, images)
        if inside is not None:
            pixels = inside.pixels.expand_as(error)
            mean = (error * pixels).sum(dim=(1, 2, 3)) / pixels.sum(dim=(1, 2, 3))
            return InferenceBatch(pred_score=mean, anomaly_map=inside.spread(self.anomaly_map, error, key="blur"))
        return InferenceBatch(pred_score=error.mean(dim=(1, 2, 3)), anomaly_map=self.anomaly_map(error))


def _halving(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.LeakyReLU(0.2)]


def _doubling(n_in: int, n_out: int) -> list[nn.Module]:
    convolution = nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(n_out), nn.LeakyReLU(0.2)]
