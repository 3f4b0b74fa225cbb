"""Findings as text, JSON, JUnit."""
