"""Which device trains: the choice, and JAX started with it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from jmlp.errors import ConfigError
from jmlp.system import environment
from jmlp.system.environment import MOST_CORES
from jmlp.system.files import compile_cache_dir

if TYPE_CHECKING:
    import jax

LEAST_SECONDS, MOST_SECONDS = 0.1, 3600


@Parameter(name="*")
@dataclass(frozen=True)
class Hardware:
    """Where training runs."""

    device: Annotated[
        Literal["auto", "cpu", "gpu"],
        Parameter(help="What trains; auto takes a GPU where JAX finds one."),
    ] = "auto"
    cores: Annotated[
        int | None,
        Parameter(help="CPU cores to use; by default those this process may use, at most 8."),
    ] = None

    def count(self) -> int:
        """CPU cores to use.

        Raises:
            ConfigError: fewer than 1, or more than 256.
        """
        if self.cores is None:
            return environment.default_cores()
        if not 1 <= self.cores <= MOST_CORES:
            raise ConfigError(f"--cores: must be 1 to {MOST_CORES}, got {self.cores}")
        return self.cores

    def start(self, say: Callable[[str], None]) -> "list[jax.Device]":
        """Starts JAX and finds the devices.

        Args:
            say: takes a warning.

        Raises:
            ConfigError: a number of cores that is not allowed, or a variable that JAX reads has a
                value that it does not accept.
            DeviceError: there is no such device.
        """
        cores = self.count()  # a wrong number is reported before JAX starts
        if os.environ.get("XLA_FLAGS"):  # a flag that XLA does not know ends the process
            from jmlp.client import devices as jax_devices

            jax_devices.ask(self.device, self.cores, lambda warning: None)
        environment.report_warnings(say)
        if warning := environment.prepare(self.device, self.cores, compile_cache_dir()):
            say(f"warning: {warning}")
        from jmlp.training.engine import find_devices

        devices = find_devices(self.device)
        return devices[:cores] if devices[0].platform == "cpu" else devices


@Parameter(name="*")
@dataclass(frozen=True)
class TrainingHardware(Hardware):
    """Where training runs, and how often it is saved."""

    checkpoint_seconds: Annotated[
        float, Parameter(help="How often training is saved, to resume from after a kill.")
    ] = environment.CHECKPOINT_SECONDS

    def request(self) -> dict[str, object]:
        """What the worker needs to know.

        Raises:
            ConfigError: a number that is not allowed.
        """
        self.count()
        if not LEAST_SECONDS <= self.checkpoint_seconds <= MOST_SECONDS:
            raise ConfigError(
                f"--checkpoint-seconds: must be {LEAST_SECONDS} to {MOST_SECONDS}, "
                f"got {self.checkpoint_seconds:g}"
            )
        return {
            "device": self.device,
            "cores": self.cores,
            "checkpoint_seconds": self.checkpoint_seconds,
        }
