"""Finished records sent to wandb, MLflow or TensorBoard, where a team collects its runs."""

from benchmark.log.sinks import Sink, check_log, open_sinks, send

__all__ = ["Sink", "check_log", "open_sinks", "send"]
