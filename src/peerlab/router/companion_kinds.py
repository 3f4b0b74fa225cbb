"""Which driver stands behind which kind of router."""

from __future__ import annotations

from collections.abc import Callable

from peerlab.router.bird_driver import BirdDriver
from peerlab.router.companion_driver import Driver, Watching
from peerlab.router.frr_driver import FrrDriver
from peerlab.router.openbgpd_driver import OpenBgpdDriver

DRIVERS: dict[str, Callable[[Watching], Driver]] = {"bird": BirdDriver, "frr": FrrDriver, "openbgpd": OpenBgpdDriver}
"""By ``RouterConfig.kind``. A kind that is not here is a router on our own speaker."""
