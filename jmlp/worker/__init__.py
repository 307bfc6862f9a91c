"""The process that trains: it takes a study from the store and records its training there.

It shares only the store with the processes that watch it: they read results and queue commands
there. A lock of the operating system, held as long as the worker lives, ensures that there is only
one worker per store.
"""
