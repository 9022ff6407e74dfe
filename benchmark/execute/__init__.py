"""Many experiments: a sweep, and the workers that carry it out."""
