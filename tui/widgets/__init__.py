"""Widgets that several screens share, or that are large enough to stand alone."""
