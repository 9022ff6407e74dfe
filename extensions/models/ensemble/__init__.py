"""Several detectors as one: scores and maps on a common scale, averaged."""
