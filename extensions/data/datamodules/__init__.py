"""Datamodules: list, check and split a data set once."""
