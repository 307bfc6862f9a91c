"""A helper process that answers several requests."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jmlp.errors import DataError, JmlpError
from jmlp.system import processes
from jmlp.system.helper_client import Service

# Counts its requests; some of them have a special answer.
MODULE = """
import os, sys
from jmlp.errors import DataError
from jmlp.system import helper_server

n = 0

def begin(send):
    send({"say": "begun"})

def work(request, send):
    global n
    n += 1
    match request["do"]:
        case "fail":
            raise DataError("no such data")
        case "die":
            os._exit(3)
        case "leave":
            os._exit(0)
        case "wait":
            send({"say": "waiting"})
            os.read(os.pipe()[0], 1)
        case "idle":
            helper_server.IDLE_SECONDS = 0
    send({"done": n, "pid": os.getpid()})

sys.exit(helper_server.serve(begin, work))
"""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    path = tmp_path / "counting.py"
    path.write_text(MODULE)
    begin = processes.start

    def start(*arguments: str, **streams: Any) -> Any:
        assert arguments == ("-m", "counting")
        return begin(str(path), **streams)

    monkeypatch.setattr(processes, "start", start)
    service = Service("counting", "the counter")
    yield service
    service.close()


def done(service: Service, do: str = "count", stop: threading.Event | None = None) -> Any:
    (answer,) = [message for message in service.ask({"do": do}, stop) if "done" in message]
    return answer


def test_one_process_answers_all_requests_and_says_once_that_it_has_begun(
    service: Service,
) -> None:
    messages = [list(service.ask({"do": "count"})) for _ in range(3)]
    assert [[m.get("say"), m.get("done")] for answers in messages for m in answers] == [
        ["begun", None],
        [None, 1],
        [None, 2],
        [None, 3],
    ]
    assert len({answers[-1]["pid"] for answers in messages}) == 1


def test_after_an_error_the_same_process_answers_the_next_request(service: Service) -> None:
    first = done(service)
    with pytest.raises(JmlpError, match=r"^no such data$") as raised:
        done(service, "fail")
    assert raised.value.exit_code == DataError.exit_code
    assert done(service) == {"done": 3, "pid": first["pid"]}


@pytest.mark.parametrize(
    ("do", "how"), [("die", "ended with code 3"), ("leave", "ended without an answer")]
)
def test_a_process_that_dies_is_explained_and_replaced(service: Service, do: str, how: str) -> None:
    first = done(service)
    with pytest.raises(JmlpError, match=f"^the counter {how}"):
        done(service, do)
    again = done(service)
    assert (again["done"], again["pid"] != first["pid"]) == (1, True)


def test_a_process_that_was_idle_is_replaced_without_an_error(service: Service) -> None:
    first = done(service, "idle")
    os.waitid(os.P_PID, first["pid"], os.WEXITED | os.WNOWAIT)
    assert done(service)["done"] == 1


def test_a_process_that_was_ended_while_idle_is_replaced_without_an_error(
    service: Service,
) -> None:
    first = done(service)
    os.kill(first["pid"], signal.SIGKILL)
    os.waitid(os.P_PID, first["pid"], os.WEXITED | os.WNOWAIT)
    assert done(service)["done"] == 1


def test_a_request_that_is_stopped_ends_and_the_next_one_is_answered(service: Service) -> None:
    stop = threading.Event()
    for message in service.ask({"do": "wait"}, stop):
        if message == {"say": "waiting"}:
            stop.set()
    assert done(service)["done"] == 1


def test_closing_a_generator_ends_the_request(service: Service) -> None:
    answers = service.ask({"do": "wait"})
    assert next(answers) == {"say": "begun"}
    answers.close()
    assert done(service)["done"] == 1


def test_requests_of_several_threads_are_answered_one_after_the_other(service: Service) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(done(service)["done"])) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [1, 2, 3, 4, 5]
