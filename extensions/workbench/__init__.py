"""The console script `workbench`: one name for the commands of all rooms, and what several of them share."""
