"""From YAML to a grid to experiments, validated before anything runs."""
