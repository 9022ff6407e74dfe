"""Training data that cleans itself: what to look at, how to score it, what to remove, what a person says to it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extensions.refinement.evidence import Evidence, EvidenceError
    from extensions.refinement.loop import Refinement, refine
    from extensions.refinement.plan import Plan
    from extensions.refinement.review.suspects import read_review, write_suspects
    from extensions.refinement.rules import RULES
    from extensions.refinement.strategies import STRATEGIES

__all__ = [
    "RULES", "STRATEGIES", "Evidence", "EvidenceError", "Plan", "Refinement", "read_review", "refine", "write_suspects",
]  # fmt: skip

# Imported on first use: `--help` must not wait for them.
_MODULES = {
    "RULES": "rules",
    "STRATEGIES": "strategies",
    "Evidence": "evidence",
    "EvidenceError": "evidence",
    "Plan": "plan",
    "Refinement": "loop",
    "refine": "loop",
    "read_review": "review.suspects",
    "write_suspects": "review.suspects",
}


def __getattr__(name: str) -> Any:
    """Import the export `name` (PEP 562)."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
