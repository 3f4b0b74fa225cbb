"""What happened: events, the trace of every wire, and their file formats."""
