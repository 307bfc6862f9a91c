"""The screens, each in a module of its own, imported when it is opened first."""
