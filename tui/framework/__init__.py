"""What works around Textual: the one place that overrides its private members, as a test says.

Each piece names what Textual does, and why that is bad for this app. All of it was seen in Textual
8.2.8, the version that `pyproject.toml` pins: look at every piece before you raise that.
"""
