"""The process of a worker: what it has compiled, and when a fresh one should replace it."""

from dataclasses import dataclass

# Groups that one process compiles. The compiler keeps about 0.1 MB per group until its process ends
# (measured: scripts/stress, row memory), and starting another process takes 2 s.
MAX_GROUPS = 40


@dataclass
class Process:
    """What this worker's process has compiled."""

    alone: bool  # only the worker uses JAX in it
    groups: int = 0  # number of groups that it has compiled

    @property
    def is_spent(self) -> bool:
        """Whether another process should compile the next group."""
        return self.alone and self.groups >= MAX_GROUPS
