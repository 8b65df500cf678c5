"""Disclosure control: limits, and figures under them. Pure."""
