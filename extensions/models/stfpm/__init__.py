"""STFPM."""
