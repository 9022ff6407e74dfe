"""What the thresholds of a model do, in a sentence for a person."""

from __future__ import annotations

from inference.model.metadata import ModelInfo


def thresholds_sentence(info: ModelInfo) -> str:
    """Thresholds on raw scores, what they promise, and the expected share of unsure images."""
    if info.threshold is None:
        return f"no threshold ({info.threshold_source or 'none is known'}): images are scored and not judged"
    if info.upper_threshold is None:
        told = [f"defective from a raw score of {info.threshold:.6g} on"]
    else:
        told = [
            f"good below a raw score of {info.threshold:.6g}, defective from {info.upper_threshold:.6g} on, between "
            "them unsure"
        ]
    if info.unsure is not None:
        told.append(f"{100 * info.unsure:.3g} % unsure among the images they were fitted on")
    told.append(info.promise or f"nothing is promised ({info.threshold_source or 'nobody knows how it was found'})")
    return "; ".join(told)
