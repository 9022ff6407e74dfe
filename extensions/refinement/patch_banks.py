"""How far patches are from banks of other images' patches: many small banks in place of one large one."""

import numpy as np
import torch

from extensions.refinement.whitening import whitened

N_GROUPS = 20  # of images
N_SHARES = 5  # each bank holds a fifth of the groups
N_PASSES = 4  # over all groups: 4 · 5 banks
GROUP_PATCHES = 256  # drawn from a group of images
CHUNK_ENTRIES = 2**23  # distances held at once, 32 MB


def out_of_bag_distances(patches: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Distance of each patch to the nearest in a bank of other images' patches: the median over 20 such banks.

    The images are dealt into 20 groups. A bank holds 256 random patches of each of 4 groups, a fifth of the images,
    and four times over, all groups are dealt into 5 banks; an image is compared with the 16 banks that hold nothing of
    its group. As banks share patches, one product of all patches with 5,120 others serves them all.

    Args:
        patches: (N, P, C), N >= 2.
        rng: Deals the groups and draws the patches.

    Returns:
        (N, P) float32.
    """
    known = whitened(patches, rng=rng)
    n_images, n_patches, n_channels = known.shape
    dealt = np.array_split(rng.permutation(n_images), min(N_GROUPS, n_images))
    group = np.empty(n_images, np.int64)
    for number, members in enumerate(dealt):
        group[members] = number
    drawn = torch.cat([_drawn(known, members, rng) for members in dealt])  # (G · m, C)
    halves = (drawn**2).sum(dim=1) / 2
    banks = _banks(len(dealt), rng)
    holds = torch.stack([torch.isin(torch.arange(len(dealt)), bank) for bank in banks], dim=1)  # (G, B)
    middle = (int((~holds[0]).sum()) + 1) // 2  # the lower median
    found = torch.empty(n_images, n_patches)
    n_rows = max(1, CHUNK_ENTRIES // (len(drawn) * n_patches))
    for start in range(0, n_images, n_rows):
        part = slice(start, start + n_rows)
        queries = known[part].reshape(-1, n_channels)
        products = torch.addmm(halves, queries, drawn.T, alpha=-1)  # half the squared distances, less |query|² / 2
        nearest = products.view(len(queries), len(dealt), -1).amin(dim=2)  # (n · P, G)
        by_bank = torch.stack([nearest[:, bank].amin(dim=1) for bank in banks], dim=1).view(-1, n_patches, len(banks))
        by_bank.masked_fill_(holds[group[part]][:, None], torch.inf)
        squares = 2 * by_bank.kthvalue(middle, dim=2).values + (known[part] ** 2).sum(dim=2)
        found[part] = squares.clamp_min(0).sqrt()
    return found.numpy()


def _drawn(known: torch.Tensor, members: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Random patches of these images, repeated where there are too few, so that all groups have as many."""
    n_patches = known.shape[1]
    places = np.resize(rng.permutation(len(members) * n_patches), GROUP_PATCHES)
    return known[torch.from_numpy(members[places // n_patches]), torch.from_numpy(places % n_patches)]


def _banks(n_groups: int, rng: np.random.Generator) -> list[torch.Tensor]:
    """The groups in each bank; every group is in as many banks as any other."""
    passes = (np.array_split(rng.permutation(n_groups), min(N_SHARES, n_groups)) for _ in range(N_PASSES))
    return [torch.from_numpy(bank) for banks in passes for bank in banks]
