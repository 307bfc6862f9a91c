"""`jmlp serve`: serves the app to browsers."""

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

from jmlp.cli.extras import needs
from jmlp.cli.output import Output
from jmlp.cli.store_option import StoreOption
from jmlp.cli.terminal import check_app
from jmlp.errors import ConfigError, StoreError
from jmlp.study.rules import plain
from jmlp.system import streams
from jmlp.system.streams import say_error

MAX_PORT = 2**16 - 1
FONT_SIZES = range(6, 65)  # pixels, as in tui/serving/page/size.js
RISK = (
    "anyone who learns the address with its token can train and delete runs here, and the traffic "
    "is not encrypted. A tunnel is safer: ssh -L 8000:127.0.0.1:8000 MACHINE"
)


def serve(
    *,
    port: Annotated[int, Parameter(help="The port to listen on; 0 takes any free one.")] = 8000,
    host: Annotated[
        str, Parameter(help="The address or name of this machine to listen on.")
    ] = "127.0.0.1",
    allow_remote: Annotated[
        bool, Parameter(negative=(), help="Let other machines connect; read the warning it prints.")
    ] = False,
    no_open: Annotated[
        bool, Parameter(negative=(), help="Print the address without opening a browser.")
    ] = False,
    font_size: Annotated[
        int,
        Parameter(
            help="The size of the text in pixels, such as 24 for a projector; buttons of the page "
            "change it."
        ),
    ] = 16,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> int:
    """Serve the app to browsers on this machine, until Ctrl-C; training continues without it."""
    check_app()
    if font_size not in FONT_SIZES:
        raise ConfigError(
            f"--font-size {font_size}: must be from {FONT_SIZES[0]} to {FONT_SIZES[-1]} pixels"
        )
    with needs("textual-serve", "jmlp serve"):
        from tui.serving.guard import Guard
        from tui.serving.server import AppServer, command

    folder = stored.folder()
    with _listener(host, port, allow_remote) as listener:
        address, port = listener.getsockname()[:2]
        guard = Guard(host, port, address)
        server = AppServer(command(folder), guard, say_error, font_size=font_size)

        def ready() -> None:
            _announce(guard.address(), out)
            if not no_open and _has_display():
                # Other users can read a browser's command line, so this address works only once.
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
    out.say("Ctrl-C ends the server; training continues")


def _listener(host: str, port: int, allow_remote: bool) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: the address or port is not allowed, or cannot be used.
    """
    from tui.serving.guard import is_loopback, listen

    if not 0 <= port <= MAX_PORT:
        raise ConfigError(f"--port {port}: must be from 0 (any free port) to {MAX_PORT}")
    try:
        listener = listen(host, port)
    except UnicodeError:
        raise ConfigError(f"--host {plain(host)}: is not a valid host name") from None
    except OSError as error:
        raise ConfigError(_why_not(host, port, error)) from error
    address = listener.getsockname()[0]
    problem = ""
    if ipaddress.ip_address(address.partition("%")[0]).is_unspecified:
        problem = "is not an address that a browser can open; give an address of this machine"
    elif not is_loopback(address) and not allow_remote:
        problem = f"other machines can reach it; add --allow-remote if that is intended: {RISK}"
    if problem:
        listener.close()
        raise ConfigError(f"--host {plain(host)}: {problem}")
    if not is_loopback(address):
        print(f"warning: other machines can reach {host}: {RISK}", file=sys.stderr)
    return listener


def _why_not(host: str, port: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"--host {plain(host)}: is not an address of this machine"
    if error.errno == errno.EADDRINUSE:
        return f"--port {port}: is used by another program; --port 0 takes any free port"
    if error.errno == errno.EACCES:
        return f"--port {port}: is reserved for the system; choose a port from 1024 on"
    return f"--host {plain(host)}, --port {port}: {error.strerror}"


def _has_display() -> bool:
    """Whether a browser would open on the user's screen, and not in this terminal."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
