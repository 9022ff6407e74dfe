"""What a person sees while a sweep runs: all runs in one bar, the present run in another, both with time left."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import Callback

from extensions.runtime.progress import progress_bar


class RunProgress(Callback):
    """One bar for the batches of a fit, over all its epochs, and one for the test."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: D102 - Lightning's hooks below
        epochs = max(trainer.max_epochs or 1, 1)
        self._open("fit", pl_module, trainer.num_training_batches * epochs)

    def on_train_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: D102
        self._advance()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: D102
        self._close()

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: D102
        self._open("test", pl_module, sum(trainer.num_test_batches))

    def on_test_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: D102
        self._advance()

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: D102
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: D102
        self._close()

    def _open(self, phase: str, pl_module: Any, total: float) -> None:
        self._bar = progress_bar(title=f"  {phase} {pl_module.name}", total=int(total), unit="batch", position=1)

    def _advance(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
