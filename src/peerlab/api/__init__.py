"""Microsoft.Peering over HTTPS: the ARM API, and the operator's API beside it."""
