"""Wires and processes: the cell, namespaces, links, impairment. No BGP."""
