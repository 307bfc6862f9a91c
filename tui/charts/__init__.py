"""Charts as pure functions from numbers to lines of text; without widgets or colours."""
