"""Workarounds for Textual: a test checks that only this package uses its private members.

Each workaround says what Textual does and why that is a problem for this app. All were observed in
Textual 8.2.8, the version that `pyproject.toml` pins: review each of them before you raise it.
"""
