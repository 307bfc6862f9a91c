"""Distributes the cohorts of a group over the slots of the devices.

Slots are numbered across devices: those of the first device come first. The work of a cohort is
measured by the number of its lanes still in training.
"""

from collections import deque
from collections.abc import Iterator, Mapping

MIN_SAVING = 0.1  # of the busiest device's work; cohorts are not moved for less


def fill_order(n_devices: int, per_device: int) -> list[int]:
    """All slots in the order to fill them: the first of every device before the second of any."""
    return [
        device * per_device + position
        for position in range(per_device)
        for device in range(n_devices)
    ]


def calls(lanes: Mapping[int, int], per_device: int, max_lanes: int) -> Iterator[list[int]]:
    """Divides slots into successive calls.

    Args:
        lanes: number of lanes of each slot to process.
        per_device: slots per device.
        max_lanes: lanes per device and call, unless a single slot has more.
    """
    queues: dict[int, deque[int]] = {}
    for slot in sorted(lanes):
        queues.setdefault(slot // per_device, deque()).append(slot)
    while any(queues.values()):
        call = []
        for queue in queues.values():
            room = max_lanes
            while queue and (room == max_lanes or lanes[queue[0]] <= room):
                room -= lanes[queue[0]]
                call.append(queue.popleft())
        yield call


def rebalance(lanes: Mapping[int, int], n_devices: int, per_device: int) -> list[int] | None:
    """How to move cohorts so that all devices have about the same amount of work.

    Cohorts are assigned by decreasing number of lanes, each to the device with the fewest so far
    (Graham, "Bounds on multiprocessing timing anomalies", 1969: within a third of the best).

    Args:
        lanes: number of lanes in training of each slot that holds a cohort.
        n_devices: devices that train, the first ones.
        per_device: slots per device.

    Returns:
        For each slot of these devices, the slot whose content it should take; None if moving would
        save less than `MIN_SAVING` of the time.
    """
    before, after = [0] * n_devices, [0] * n_devices
    content: list[list[int]] = [[] for _ in range(n_devices)]
    for slot in sorted(lanes, key=lambda slot: -lanes[slot]):
        before[slot // per_device] += lanes[slot]
        with_room = [d for d in range(n_devices) if len(content[d]) < per_device]
        device = min(with_room, key=lambda d: after[d])
        after[device] += lanes[slot]
        content[device].append(slot)
    if max(after) >= (1 - MIN_SAVING) * max(before):
        return None
    empty = deque(slot for slot in range(n_devices * per_device) if slot not in lanes)
    return [
        content[device][position] if position < len(content[device]) else empty.popleft()
        for device in range(n_devices)
        for position in range(per_device)
    ]
