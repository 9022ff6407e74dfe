"""RegAD."""
