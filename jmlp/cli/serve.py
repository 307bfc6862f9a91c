"""`jmlp serve`: the app in a browser."""

import asyncio
import errno
import ipaddress
import os
import socket
import sys
import threading
import webbrowser
from typing import Annotated

from cyclopts import Parameter

from jmlp.cli.output import Output
from jmlp.cli.store_option import StoreOption
from jmlp.cli.terminal import check_app
from jmlp.errors import ConfigError, StoreError
from jmlp.study.rules import plain
from jmlp.system import streams
from jmlp.system.streams import say_error

MAX_PORT = 2**16 - 1
MEANS = (
    "whoever learns the address with its token can train and delete runs here, and what goes over "
    "the network is not encrypted. Safer is a tunnel: ssh -L 8000:127.0.0.1:8000 MACHINE"
)


def serve(
    *,
    port: Annotated[int, Parameter(help="Where it listens; 0 takes any port that is free.")] = 8000,
    host: Annotated[
        str, Parameter(help="The address or name of this machine that it listens on.")
    ] = "127.0.0.1",
    allow_remote: Annotated[
        bool, Parameter(negative=(), help="Let other machines in; see what it prints.")
    ] = False,
    no_open: Annotated[
        bool, Parameter(negative=(), help="Print the address, and open no browser.")
    ] = False,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> int:
    """Serve the app to browsers on this machine, until Ctrl-C; training continues without it."""
    check_app()
    try:
        from tui.serving.guard import Guard
        from tui.serving.server import AppServer, command
    except ImportError as error:
        raise ConfigError(
            f"jmlp serve: needs the package textual-serve ({error}); "
            "install it with: python -m pip install textual-serve"
        ) from error

    folder = stored.folder()
    with _listener(host, port, allow_remote) as listener:
        address, port = listener.getsockname()[:2]
        guard = Guard(host, port, address)
        server = AppServer(command(folder), guard, say_error)

        def ready() -> None:
            _announce(guard.address(), out)
            if not no_open and _has_display():
                # The command line of a browser can be read by others: its address works once.
                opening = (guard.address_once(),)
                threading.Thread(target=webbrowser.open, args=opening, daemon=True).start()

        number = asyncio.run(server.run(listener, ready))
    out.say("ended; training continues")
    return 128 + number


def _announce(address: str, out: Output) -> None:
    if out.json:
        out.print_json({"url": address})
    else:
        out.say("open this address in a browser; it is the key to the app, so keep it to yourself:")
        print(address)
    if failure := streams.failure(sys.stdout):
        raise StoreError(f"the address cannot be written: {failure.strerror}")
    if out.json:
        return
    out.say("Ctrl-C ends it; training continues")


def _listener(host: str, port: int, allow_remote: bool) -> socket.socket:
    """A socket that listens where it was asked for.

    Raises:
        ConfigError: it may not, or cannot.
    """
    from tui.serving.guard import is_loopback, listen

    if not 0 <= port <= MAX_PORT:
        raise ConfigError(f"--port {port}: must be from 0 (any that is free) to {MAX_PORT}")
    try:
        listener = listen(host, port)
    except UnicodeError:
        raise ConfigError(f"--host {plain(host)}: is no name of a machine") from None
    except OSError as error:
        raise ConfigError(_why_not(host, port, error)) from error
    address = listener.getsockname()[0]
    problem = ""
    if ipaddress.ip_address(address.partition("%")[0]).is_unspecified:
        problem = "is no address that a browser can open; give the one of this machine to use"
    elif not is_loopback(address) and not allow_remote:
        problem = f"other machines reach it; add --allow-remote if that is meant: {MEANS}"
    if problem:
        listener.close()
        raise ConfigError(f"--host {plain(host)}: {problem}")
    if not is_loopback(address):
        print(f"warning: other machines reach {host}: {MEANS}", file=sys.stderr)
    return listener


def _why_not(host: str, port: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"--host {plain(host)}: is no address of this machine"
    if error.errno == errno.EADDRINUSE:
        return f"--port {port}: is taken by another program; --port 0 takes any that is free"
    if error.errno == errno.EACCES:
        return f"--port {port}: the system keeps it for itself; choose one from 1024 on"
    return f"--host {plain(host)}, --port {port}: {error.strerror}"


def _has_display() -> bool:
    """Whether a browser would open where the person sits, and not in this terminal."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
