"""What every room needs and none owns: commands, whole files, seeds, progress, OpenVINO, Lightning runs."""
