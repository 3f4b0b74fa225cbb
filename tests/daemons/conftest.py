"""These tests run other people's daemons (`make daemons` installs them): not collected unless PEERLAB_DAEMONS=1."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("PEERLAB_DAEMONS") == "1" else ["test_*.py"]
