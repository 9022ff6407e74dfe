"""The console script `workbench`: one name for the commands of all rooms."""
