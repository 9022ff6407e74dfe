"""Memory-bank models that can be fitted again."""

from typing import ClassVar

import torch

from extensions.models.common.mixin_base import MixinBase


class RefitMixin(MixinBase):
    """Mix-in for memory-bank models: every fit starts from an empty bank. Anomalib's second fit changes nothing."""

    # Name of the list in `self.model` that collects embeddings during the epoch.
    store_name: ClassVar[str]

    def on_train_epoch_start(self) -> None:
        """Forget what an earlier fit collected."""
        super().on_train_epoch_start()
        self._is_fitted = torch.tensor([False], device=self.device)
        getattr(self.model, self.store_name).clear()
