"""Charts as pure functions from numbers to lines of text: no app, no colours."""
