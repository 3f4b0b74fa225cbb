"""The peerlab command, one file per command group."""
