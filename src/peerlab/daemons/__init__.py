"""One file per routing daemon: what it is told and how its answers read. Pure."""
