"""What can go wrong with backbone weights."""


class WeightsError(RuntimeError):
    """Weights were found but cannot be used: wrong checksum, names, shapes, layers or file format."""


class WeightsNotFoundError(WeightsError):
    """No weights were found in any of the places where they are looked for."""


class ManifestError(ValueError):
    """A row of a weights manifest is not valid."""
