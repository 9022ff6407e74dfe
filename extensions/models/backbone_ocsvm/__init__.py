"""One-class SVM on a frozen backbone."""

from extensions.models.backbone_ocsvm.lightning_model import BackboneOcSvm

__all__ = ["BackboneOcSvm"]
