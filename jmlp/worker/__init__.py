"""The process that trains: it takes a study from the store and writes all that happens to it.

It shares nothing with those who watch but the store: they read there, and leave commands there. One
worker a store, by a lock of the operating system that it holds as long as it lives.
"""
