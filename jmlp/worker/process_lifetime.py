"""The process of a worker: what it has behind it, and when a fresh one should take its place."""

from dataclasses import dataclass

# Groups that one process compiles. The compiler keeps about 0.1 MB of each for as long as its
# process lives (measured: scripts/stress, row memory), and starting another takes 2 s.
MOST_GROUPS = 40


@dataclass
class Process:
    """Of this worker."""

    alone: bool  # nothing but the worker uses JAX in it
    groups: int = 0  # that it has compiled

    @property
    def is_spent(self) -> bool:
        """Whether another process should compile the next group."""
        return self.alone and self.groups >= MOST_GROUPS
