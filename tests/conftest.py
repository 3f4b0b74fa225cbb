"""What every test stands on: Hypothesis judges what code does, never how long a loaded machine takes for it."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("peerlab", deadline=None)
settings.load_profile("peerlab")
