"""The web server: a page, its static files, and a websocket for each tab."""

import asyncio
import contextlib
import html
import logging
import signal
import socket
import string
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import textual_serve
from aiohttp import WSCloseCode, WSMsgType, web

from jmlp.system import processes
from tui.serving import connections, messages
from tui.serving.connections import Connections, RepeatLog
from tui.serving.guard import WEBSOCKET, Guard, Handler
from tui.serving.messages import Focused, InvalidMessage, Message, Pinged, Resized, Typed
from tui.serving.session import Session

FONT_SIZE = 16  # pixels of the page
MAX_SESSIONS = 4
IDLE_SECONDS = 12 * 3600.0  # without input, after which a tab is closed; training continues
HEARTBEAT_SECONDS = 15.0  # within which a browser must answer a ping
ANSWER_SECONDS = 15.0  # within which the app must accept input
CLOSE_SECONDS = 2.0  # for the closing handshake

BACKLOG = 1024  # connections that the system queues until they are accepted

PAGE = Path(__file__).parent / "page"
STATICS = Path(textual_serve.__file__).parent / "static"
OPENING = """\
<!DOCTYPE html><title>jmlp</title><meta http-equiv="refresh" content="0;url=/"><a href="/">jmlp</a>
"""
FULL = f"The app is already open in {MAX_SESSIONS} tabs. Close one, then open this page again."

# aiohttp would log a traceback for each request that is not HTTP.
_SILENT = logging.getLogger("jmlp.serve")
_SILENT.disabled = True

Say = Callable[[str], object]


def command(folder: Path) -> list[str]:
    """Returns the command that starts the app of one tab."""
    return processes.command_line("-m", "tui.serving.child", str(folder))


class AppServer:
    """Serves the app to browsers that have the token, and limits what a page can do."""

    def __init__(
        self,
        arguments: Sequence[str],
        guard: Guard,
        say: Say,
        *,
        font_size: int = FONT_SIZE,
        idle_seconds: float = IDLE_SECONDS,
        max_unauthenticated: int | None = None,
    ) -> None:
        """Initialises the server.

        Args:
            arguments: the command of the process behind each tab.
            guard: checks requests.
            say: prints a line for whoever runs the server.
            font_size: of the page's text, in pixels of the page; the page changes it where there is
                too little room.
            idle_seconds: after which an unused tab is closed.
            max_unauthenticated: limit of connections without the token; default: by the limit of
                open files.
        """
        self.guard = guard
        self.sessions: set[Session] = set()
        self._arguments, self._say, self._idle_seconds = tuple(arguments), say, idle_seconds
        self._report = RepeatLog(say)
        self._most = max_unauthenticated or connections.max_unauthenticated()
        self._connections: Connections | None = None  # None until it listens
        self._font_size = font_size
        self._ending = False
        self._websockets: set[web.WebSocketResponse] = set()
        self._page = string.Template((PAGE / "index.html").read_text(encoding="utf-8"))
        fonts = STATICS / "fonts"
        self._files = {
            "page.css": PAGE / "page.css",
            **{name: PAGE / name for name in ("page.js", "size.js", "keys.js", "colours.js")},
            "xterm.css": STATICS / "css" / "xterm.css",
            "textual.js": STATICS / "js" / "textual.js",
            "braille.ttf": PAGE / "braille.ttf",
            "roboto-mono.ttf": fonts / "RobotoMono-VariableFont_wght.ttf",
            "roboto-mono-italic.ttf": fonts / "RobotoMono-Italic-VariableFont_wght.ttf",
        }

    async def run(self, listener: socket.socket, ready: Callable[[], object]) -> signal.Signals:
        """Serves until a signal arrives, then ends every app and returns the signal.

        A second signal kills the apps.

        Args:
            listener: the socket to listen on.
            ready: called once pages can be opened.
        """
        received: asyncio.Queue[signal.Signals] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under `nohup`
                loop.add_signal_handler(number, received.put_nowait, number)
        async with self.listening(listener):
            ready()
            number = await received.get()
            killer = asyncio.create_task(self._kill_on_signal(received))
        killer.cancel()
        return number

    @contextlib.asynccontextmanager
    async def listening(self, listener: socket.socket) -> AsyncIterator[None]:
        """Serves pages within the context, and ends every app at its end."""
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=_SILENT,
            shutdown_timeout=1.0,
            keepalive_timeout=connections.REQUEST_SECONDS,  # also limits the first request
        )
        await runner.setup()
        assert runner.server is not None
        self._connections = Connections(runner.server, self._most, self._report)
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(self._report.unexpected)
        try:
            # As many are accepted at once; fewer than the limit, so that each is read before it is
            # the oldest.
            server = await loop.create_server(
                self._connections.accept, sock=listener, backlog=max(1, self._most // 4)
            )
            listener.listen(BACKLOG)
            with contextlib.closing(server):
                yield
        finally:
            await runner.cleanup()
            loop.set_exception_handler(before)

    async def _end_all(self, app: web.Application) -> None:
        """Closes every tab and waits for its process."""
        del app
        self._ending = True
        goodbyes = [_close(each, "jmlp serve was ended") for each in self._websockets]
        await asyncio.gather(*goodbyes, *(session.stop() for session in self.sessions))

    def _application(self) -> web.Application:
        app = web.Application(
            middlewares=[self._report_bugs, self.guard.middleware, self._mark_authenticated]
        )
        app.add_routes(
            [
                web.get("/", self._index, allow_head=False),
                web.get("/ws", self._websocket, name=WEBSOCKET, allow_head=False),
                web.get("/static/{name}", self._static, allow_head=False),
            ]
        )
        app.on_response_prepare.append(self.guard.add_headers)
        app.on_shutdown.append(self._end_all)
        return app

    @web.middleware
    async def _report_bugs(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:
            self._report(f"this is a bug in jmlp: {type(error).__name__}: {error}")
            raise web.HTTPInternalServerError from error

    @web.middleware
    async def _mark_authenticated(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Exempts the connection from the limit; runs after the guard."""
        assert self._connections is not None
        self._connections.authenticate(request)
        return await handler(request)

    async def _kill_on_signal(self, received: "asyncio.Queue[signal.Signals]") -> None:
        await received.get()
        for session in self.sessions:
            session.kill()

    # ---- routes

    async def _index(self, request: web.Request) -> web.Response:
        """Sends the page; if the address has the token, sets the cookie and reloads without it."""
        if "token" in request.query:
            # Not an HTTP redirect: coming from a link on another site, it would lack the cookie.
            opening = web.Response(text=OPENING, content_type="text/html")
            self.guard.set_cookie(opening)
            return opening
        self._require_free_slot()
        address = html.escape(f"ws://{request.host}/ws")
        page = self._page.substitute(address=address, font_size=self._font_size)
        return web.Response(text=page, content_type="text/html")

    async def _static(self, request: web.Request) -> web.FileResponse:
        """Sends one of a fixed set of files; the name is never used as a path."""
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return web.FileResponse(file, headers={"Cache-Control": "no-cache"})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        """Runs one app process for as long as the tab is open."""
        query = request.query
        width, height = (str(cells) for cells in messages.DEFAULT_SIZE)
        try:
            size = messages.size_of(query.get("width", width), query.get("height", height))
        except InvalidMessage as error:
            raise web.HTTPBadRequest(text=f"{error}.") from None
        self._require_free_slot()
        websocket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=messages.MAX_BYTES + 1,  # the smallest size that is refused
            timeout=CLOSE_SECONDS,
            compress=False,
        )
        session = Session(self._arguments, websocket, self._say)
        self.sessions.add(session)
        reason = "the app was closed"
        try:
            await websocket.prepare(request)
            self._websockets.add(websocket)
            await session.start(*size)
            await self._handle_messages(websocket, session)
        except InvalidMessage as error:
            reason = str(error)
        except OSError as error:
            reason = "the app could not be started"
            self._say(f"{reason}: {error.strerror}")
        finally:
            await asyncio.gather(_close(websocket, reason), session.stop())
            if request.transport is not None:
                request.transport.abort()  # discards what the browser has not read
            self._websockets.discard(websocket)
            self.sessions.discard(session)
        return websocket

    def _require_free_slot(self) -> None:
        if self._ending or len(self.sessions) >= MAX_SESSIONS:
            raise web.HTTPServiceUnavailable(text=FULL)

    async def _handle_messages(self, websocket: web.WebSocketResponse, session: Session) -> None:
        """Forwards the page's messages to the app until the websocket is closed.

        Raises:
            InvalidMessage: a message is invalid, or there was none for too long.
        """
        while True:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    received = await websocket.receive()
            except TimeoutError:
                raise InvalidMessage("it was idle for too long") from None
            if received.type is WSMsgType.BINARY:
                raise InvalidMessage("binary message")
            if received.type is not WSMsgType.TEXT:
                return
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await _forward(messages.parse(received.data), websocket, session)
            except TimeoutError:
                raise InvalidMessage("the app does not respond") from None


async def _forward(message: Message, websocket: web.WebSocketResponse, session: Session) -> None:
    match message:
        case Typed(data):
            await session.send_bytes(data)
        case Resized(width, height):
            await session.set_terminal_size(width, height)
        case Focused(True):
            await session.focus()
        case Focused(False):
            await session.blur()
        case Pinged(data):
            await websocket.send_json(["pong", data])


async def _close(websocket: web.WebSocketResponse, reason: str) -> None:
    """Closes a websocket without waiting long for a browser that does not respond."""
    if not websocket.prepared:
        return
    try:
        async with asyncio.timeout(2 * CLOSE_SECONDS):
            await websocket.close(code=WSCloseCode.POLICY_VIOLATION, message=reason.encode())
    except (TimeoutError, ConnectionError):
        pass
    except asyncio.CancelledError:
        # All writers to a browser that does not read wait for the same future; if one of them is
        # cancelled, so are the others.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
