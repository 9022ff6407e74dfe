"""Labels of other programs, drawn as masks."""
