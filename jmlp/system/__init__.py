"""The interface to the operating system, Python and JAX: files, processes, streams, settings."""
