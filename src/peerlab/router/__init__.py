"""The ExaBGP router process."""
