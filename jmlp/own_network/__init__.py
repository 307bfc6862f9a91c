"""Checks a network that a user wrote: its gradient, and which mistake explains what is wrong.

`helper` runs the user's file in a process of its own, `client` starts that process, `reference` is
a network with the usual mistakes to compare with, and `diagnosis` says what was found. Imports no
JAX.
"""
