"""Large images as tiles: where they lie, and how what is found in them becomes one map again."""
