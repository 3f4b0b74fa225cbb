"""peerlab: the rehearsal room for BGP peering turn-ups."""

__version__ = "0.1.0"
