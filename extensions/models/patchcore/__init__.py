"""PatchCore."""
