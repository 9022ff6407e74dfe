"""Backbones that learn from pictures without labels, and the probe that says how much they learned."""
