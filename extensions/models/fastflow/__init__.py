"""FastFlow."""
