"""The chunk loop: a plan goes in, an iterator of progress comes out.

Whoever stops consuming stops the training. Each `next` waits for at most one chunk (50 to 200 ms of
work); one chunk runs while at most one more is queued, so the device never waits for Python and a
stop never waits for a queue. Between two of them all cohorts can be copied, and a later training
resumes from the copies bitwise identically.
"""

import contextlib
import ctypes
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from numpy.typing import NDArray

from jmlp.data.dataset import Dataset
from jmlp.errors import DeviceError
from jmlp.system import diagnosis, environment, numerics
from jmlp.training import plan as planning
from jmlp.training import program
from jmlp.training.blocks import Data
from jmlp.training.eta import Tracker
from jmlp.training.group_training import GroupTraining, Rows, Saved
from jmlp.training.plan import Plan
from jmlp.training.records import CohortState, Progress

# Programs of each compiled function that stay for a later training, in a program that uses the
# library: 5 to 10 MB each.
KEPT_PROGRAMS = 4
# Groups after which a process that only trains clears all of JAX's caches. What JAX notes while it
# traces a program stays without it: 0.5 to 1.5 MB a group.
GROUPS_BETWEEN_CLEARING = 3


def find_devices(kind: str) -> list[jax.Device]:
    """The devices of a kind: `auto` (what JAX prefers), `cpu` or `gpu`.

    Raises:
        DeviceError: there is none. Never another kind than asked for.
    """
    try:
        return jax.devices() if kind == "auto" else jax.devices(kind)
    except (AssertionError, RuntimeError) as error:  # JAX_PLATFORMS=cuda fails an assertion
        reason = str(error).partition("\n")[0] or "it has none for this platform"
        raise diagnosis.no_device(kind, reason) from error


def take_devices(kind: str, cores: int | None) -> list[jax.Device]:
    """The devices to train on: of the CPU as many as `cores`, or as this process may use.

    Raises:
        DeviceError: there is none of this kind.
    """
    devices = find_devices(kind)
    if devices[0].platform == "cpu":
        return devices[: cores or environment.default_cores()]
    return devices


def run(
    plan: Plan,
    dataset: Dataset,
    devices: Sequence[jax.Device] | None = None,
    split: tuple[Rows, Rows] | None = None,
) -> Iterator[Progress]:
    """Trains every run of a plan: `Training`, for those who only consume it."""
    return iter(Training(plan, dataset, devices, split))


class Training:
    """A plan in training.

    Iterating trains, and yields what is new, at least once a chunk; the last record has the phase
    "finished". It can be done once.
    """

    def __init__(
        self,
        plan: Plan,
        dataset: Dataset,
        devices: Sequence[jax.Device] | None = None,
        split: tuple[Rows, Rows] | None = None,
        saved: Saved = lambda cohort, width: None,
        *,
        alone: bool = False,
    ) -> None:
        """Nothing is trained yet.

        Args:
            plan: of `plan.make_plan`, for this data set.
            dataset: what to train on.
            devices: to share the cohorts out over; default: all that JAX prefers.
            split: the rows of training and validation part; default: by the runs' split seeds.
            saved: gives the copy that a cohort should resume from, or None: from its beginning.
            alone: nothing else in this process uses JAX, so that all that JAX has cached may go.
        """
        self.alone = alone
        self.plan, self.dataset = plan, dataset
        self.devices = find_devices("auto") if devices is None else devices
        self.split, self.saved = split, saved
        self._group: GroupTraining | None = None

    def copies(self) -> list[CohortState]:
        """Every cohort in training, on the host, after the chunks that were begun.

        For the time between two records; it waits for the chunk that runs.
        """
        with numerics.pinned():
            return [] if self._group is None else self._group.copies()

    def __iter__(self) -> Iterator[Progress]:
        """Trains, by jmlp's own settings of JAX; the caller's hold between two records.

        Raises:
            CheckpointError: what `saved` gave does not belong to its cohort.
            ConfigError: the plan does not fit into memory (before anything is allocated), or a
                setting of JAX forbids training.
            DeviceError: a device ran out of memory.
        """
        mesh = Mesh(np.array(with_idle_device(self.devices)), ("slots",))
        return numerics.pinned_steps(self._train(mesh), mesh)

    def _train(self, mesh: Mesh) -> Generator[Progress]:
        plan, devices = self.plan, self.devices
        if devices[0].platform == "cpu":
            planning.check_memory(plan, len(devices))
        tracker = Tracker(plan)
        try:
            placed = _place(self.dataset, mesh)
            for number, group in enumerate(plan.groups, start=1):
                tracker.begin(number)
                self._group = None  # the last one's numbers are not needed any more
                yield tracker.progress("compiling")
                if self.alone:
                    _free_memory(caches=(number - 1) % GROUPS_BETWEEN_CLEARING == 0)
                self._group = GroupTraining(
                    plan,
                    group,
                    self.dataset,
                    placed,
                    mesh,
                    len(devices),
                    tracker,
                    self.split,
                    self.saved,
                    1 if self.alone else KEPT_PROGRAMS,
                )
                yield from self._group.run()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise DeviceError(
                f"{devices[0]}: out of memory ({str(error).splitlines()[0]}); use smaller layers "
                "or batches, or free the device"
            ) from error
        yield tracker.progress("finished")


def _free_memory(*, caches: bool) -> None:
    """Frees what earlier groups have left in a process that only trains.

    The C library keeps what compiles have freed, in pieces that the next compile does not fit into:
    where it can be asked to (glibc), it returns them to the system.

    Args:
        caches: whether to clear JAX's caches too.
    """
    if caches:
        jax.clear_caches()  # type: ignore[no-untyped-call]  # JAX does not annotate it
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def with_idle_device(devices: Sequence[jax.Device]) -> Sequence[jax.Device]:
    """One CPU device gets an idle one beside it, where there is one.

    XLA compiles a program for one device otherwise than for several (seen: other last digits with
    Adam, batch norm and dropout together), and bits must not depend on the number of cores.
    """
    if len(devices) > 1 or devices[0].platform != "cpu":
        return devices
    idle = [device for device in jax.devices("cpu") if device != devices[0]]
    return [devices[0], *idle[:1]]


def _place(dataset: Dataset, mesh: Mesh) -> Data:
    """Training set, then test set, copied to every device once."""
    x: NDArray[Any] = dataset.x_train
    y: NDArray[Any] = dataset.y_train
    if dataset.x_test is not None and dataset.y_test is not None:
        x, y = np.concatenate([x, dataset.x_test]), np.concatenate([y, dataset.y_test])
    everywhere = NamedSharding(mesh, program.EVERYWHERE)
    return Data(jax.device_put(x, everywhere), jax.device_put(y, everywhere))
