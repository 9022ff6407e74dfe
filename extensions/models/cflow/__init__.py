"""CFlow-AD."""
