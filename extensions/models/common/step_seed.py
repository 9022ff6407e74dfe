"""A seed for what one training step draws."""

import hashlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule


def seed_of_step(module: "AnomalibModule") -> int:
    """Different for each step of a fit, equal for equal seeds of the run; nothing is drawn."""
    text = f"{torch.initial_seed()} {module.global_step}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
