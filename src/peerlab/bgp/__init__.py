"""Pure BGP: codec, attributes, policy, decision process and the sans-IO speaker."""
