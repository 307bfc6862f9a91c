"""The operating system, Python and JAX as they are found: files, processes, streams, settings."""
