"""Spatial transformers of feature maps: matrices from a few parameters, their inverse, and the network that finds them.

Max Jaderberg, Karen Simonyan, Andrew Zisserman, Koray Kavukcuoglu: "Spatial Transformer Networks", NeurIPS 2015,
https://arxiv.org/abs/1506.02025.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

# The parameters of each transformer, in this order; what is not named stays that of the identity.
PARTS = {
    "rotation": ("angle",),
    "scale": ("scale_x", "scale_y"),
    "translation": ("shift_x", "shift_y"),
    "shear": ("shear_x", "shear_y"),
    "rotation_scale": ("angle", "scale_x", "scale_y"),
    "translation_scale": ("shift_x", "shift_y", "scale_x", "scale_y"),
    "rotation_translation": ("angle", "shift_x", "shift_y"),
    "rotation_translation_scale": ("angle", "shift_x", "shift_y", "scale_x", "scale_y"),
    "affine": ("m00", "m01", "m02", "m10", "m11", "m12"),
}
_ONE_AT_IDENTITY = {"scale_x", "scale_y", "m00", "m11"}


class SpatialTransformer(nn.Module):
    """Predicts a transform of a feature map from the map itself, and applies it.

    Two 3 x 3 convolutions with maximum pooling, two linear layers; the last starts at 0 with the identity as bias.

    Shapes: maps (N, C, h, w) -> transformed maps (N, C, h, w), matrices (N, 2, 3).

    Args:
        channels: C.
        pooled: Height and width in px of the map that the linear layers see. Maps of another size are pooled to it by
            their mean, so one network takes images of any size.
        transformer: A key of `PARTS`.
    """

    def __init__(self, channels: int, *, pooled: int, transformer: str = "rotation_scale") -> None:
        super().__init__()
        self.transformer = transformer
        self.localization = nn.Sequential(
            nn.Conv2d(channels, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(64, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.pooled = pooled
        names = PARTS[transformer]
        self.regression = nn.Sequential(nn.Linear(16 * pooled**2, 1024), nn.ReLU(), nn.Linear(1024, len(names)))
        nn.init.zeros_(self.regression[-1].weight)
        with torch.no_grad():
            self.regression[-1].bias.copy_(torch.tensor([float(name in _ONE_AT_IDENTITY) for name in names]))

    def matrices(self, maps: torch.Tensor) -> torch.Tensor:
        """The transform of each map: (N, C, h, w) -> (N, 2, 3), from places in the result to places in the map."""
        pooled = mean_to(self.localization(maps), self.pooled).flatten(1)  # (N, 16 * pooled²)
        return matrices_of(self.regression(pooled), self.transformer)

    def forward(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Transform maps, and say how."""
        matrices = self.matrices(maps)
        return sample(maps, matrices), matrices


def check_transformer(transformer: str) -> None:
    """Refuse a transform that there is not.

    Raises:
        ValueError: It lists those that there are.
    """
    if transformer not in PARTS:
        msg = f"transformer is {transformer!r}, expected one of {', '.join(PARTS)}."
        raise ValueError(msg)


def pooled_size(reduction: int) -> int:
    """Height and width in px of what the linear layers see, for a map of this stride: as of images of 224 px."""
    return math.ceil(math.ceil(math.ceil(224 / reduction) / 2) / 2)


def matrices_of(parameters: torch.Tensor, transformer: str) -> torch.Tensor:
    """Affine matrices from the parameters of a transformer.

    Rotation by angle a (radians) and scales s give [[cos(a) s_x, -sin(a), 0], [sin(a), cos(a) s_y, 0]]: the sines are
    not scaled, as in the official code.

    Args:
        parameters: (N, P), in the order of `PARTS`.
        transformer: A key of `PARTS`.

    Returns:
        (N, 2, 3), in the coordinates of `torch.nn.functional.affine_grid`: -1 to 1 from edge to edge.
    """
    if transformer == "affine":
        return parameters.reshape(-1, 2, 3)
    given = dict(zip(PARTS[transformer], parameters.unbind(dim=1), strict=True))
    zero = torch.zeros_like(parameters[:, 0])
    angle = given.get("angle", zero)
    rows = (
        (angle.cos() * given.get("scale_x", zero + 1), given.get("shear_x", zero) - angle.sin()),
        (angle.sin() + given.get("shear_y", zero), angle.cos() * given.get("scale_y", zero + 1)),
    )
    shift = (given.get("shift_x", zero), given.get("shift_y", zero))
    return torch.stack([torch.stack([*rows[i], shift[i]], dim=1) for i in (0, 1)], dim=1)  # (N, 2, 3)


def invert(matrices: torch.Tensor) -> torch.Tensor:
    """The affine matrices that undo these: (N, 2, 3) -> (N, 2, 3), in closed form."""
    (a, b, x), (c, d, y) = (row.unbind(dim=1) for row in matrices.unbind(dim=1))
    rows = ((d, -b, b * y - d * x), (-c, a, c * x - a * y))
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1) / (a * d - b * c)[:, None, None]


def compose(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The one matrix of sampling by `first` and then the result by `second`: (N, 2, 3)."""
    linear = first[:, :, :2] @ second[:, :, :2]
    shift = first[:, :, :2] @ second[:, :, 2:] + first[:, :, 2:]
    return torch.cat([linear, shift], dim=2)


def sample(maps: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Values of maps at the transformed places, bilinear, mirrored at the edges: (N, C, h, w) -> (N, C, h, w)."""
    height, width = maps.shape[-2:]
    rows, columns = ((2 * torch.arange(n, device=maps.device) + 1) / n - 1 for n in (height, width))
    places = torch.cartesian_prod(rows, columns).flip(1)  # (h * w, 2), x before y
    places = torch.cat([places, torch.ones_like(places[:, :1])], dim=1).to(maps.dtype)
    grid = (places @ matrices.mT).reshape(-1, height, width, 2)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def mean_to(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Means over `side` x `side` windows, as `adaptive_avg_pool2d`, which ONNX lacks: (N, C, side, side)."""
    if tuple(maps.shape[-2:]) == (side, side):
        return maps
    rows, columns = (maps.new_tensor(_shares(n, side)) for n in maps.shape[-2:])
    return rows @ maps @ columns.mT


def _shares(n: int, side: int) -> list[list[float]]:
    """What each of n values adds to each of `side` means."""
    windows = [(start * n // side, math.ceil((start + 1) * n / side)) for start in range(side)]
    return [[(first <= place < end) / (end - first) for place in range(n)] for first, end in windows]
