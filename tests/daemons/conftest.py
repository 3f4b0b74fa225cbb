"""These tests run other people's daemons (`make daemons` installs them): not collected unless PEERLAB_DAEMONS=1."""

from __future__ import annotations

import os

import pytest
from daemon_kinds import KINDS, DaemonKind

collect_ignore_glob = [] if os.environ.get("PEERLAB_DAEMONS") == "1" else ["test_*.py"]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> DaemonKind:
    """Every kind in turn."""
    return request.param
