"""One experiment: prepared, fitted, tested, measured, recorded."""
