"""Whether a model, ours or anomalib's, is trained by gradient."""

from anomalib import LearningType
from anomalib.models import AnomalibModule


def is_trained_by_gradient(model: AnomalibModule) -> bool:
    """Whether training takes a number of epochs that someone must choose, rather than one pass over the images."""
    is_prompted = model.learning_type in {LearningType.ZERO_SHOT, LearningType.FEW_SHOT}
    return not is_prompted and model.trainer_arguments.get("max_epochs") is None
