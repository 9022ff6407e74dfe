"""Predict on a source: read, compute, write."""
