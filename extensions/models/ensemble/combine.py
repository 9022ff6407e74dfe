"""How the scores and maps of members become one."""

COMBINE = ("mean", "maximum")
