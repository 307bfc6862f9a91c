"""The web server: a page, the files it needs, and a websocket for each tab."""

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

MAX_SESSIONS = 4
IDLE_SECONDS = 12 * 3600.0  # without a key or a move of the mouse; training continues without a tab
HEARTBEAT_SECONDS = 15.0  # in which a browser has to answer
ANSWER_SECONDS = 15.0  # in which the app has to take what was typed
CLOSE_SECONDS = 2.0  # for it to say goodbye

WAITING = 1024  # connections that the system keeps until they are accepted

PAGE = Path(__file__).parent / "page"
STATICS = Path(textual_serve.__file__).parent / "static"
OPENING = """\
<!DOCTYPE html><title>jmlp</title><meta http-equiv="refresh" content="0;url=/"><a href="/">jmlp</a>
"""
FULL = f"{MAX_SESSIONS} tabs show the app already. Close one of them, then open this page again."

# Where aiohttp would write a traceback for each request that is no HTTP.
_NOTHING = logging.getLogger("jmlp.serve")
_NOTHING.disabled = True

Say = Callable[[str], object]


def command(folder: Path) -> list[str]:
    """What starts the app of one tab."""
    return processes.command_line("-m", "tui.serving.child", str(folder))


class AppServer:
    """Serves the app with a guard at the door, and a limit for everything that a page may do."""

    def __init__(
        self,
        arguments: Sequence[str],
        guard: Guard,
        say: Say,
        *,
        idle_seconds: float = IDLE_SECONDS,
        max_unauthenticated: int | None = None,
    ) -> None:
        """Nothing is served yet.

        Args:
            arguments: of the process behind each tab.
            guard: who is let in, and where the server listens.
            say: takes what the person at the server should know.
            idle_seconds: after which an unused tab is closed.
            max_unauthenticated: connections without the token; default: by the limit of open files.
        """
        self.guard = guard
        self.sessions: set[Session] = set()
        self._arguments, self._say, self._idle_seconds = tuple(arguments), say, idle_seconds
        self._report = RepeatLog(say)
        self._most = max_unauthenticated or connections.max_unauthenticated()
        self._connections: Connections | None = None  # None until it listens
        self._ending = False
        self._websockets: set[web.WebSocketResponse] = set()
        self._page = string.Template((PAGE / "index.html").read_text(encoding="utf-8"))
        fonts = STATICS / "fonts"
        self._files = {
            "page.css": PAGE / "page.css",
            "page.js": PAGE / "page.js",
            "xterm.css": STATICS / "css" / "xterm.css",
            "textual.js": STATICS / "js" / "textual.js",
            "roboto-mono.ttf": fonts / "RobotoMono-VariableFont_wght.ttf",
            "roboto-mono-italic.ttf": fonts / "RobotoMono-Italic-VariableFont_wght.ttf",
        }

    async def run(self, listener: socket.socket, ready: Callable[[], object]) -> signal.Signals:
        """Serves until a signal comes; then ends every app, and returns the signal.

        A second signal ends them at once.

        Args:
            listener: where.
            ready: called once pages can be opened.
        """
        received: asyncio.Queue[signal.Signals] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
                loop.add_signal_handler(number, received.put_nowait, number)
        async with self.listening(listener):
            ready()
            number = await received.get()
            impatient = asyncio.create_task(self._kill_on_signal(received))
        impatient.cancel()
        return number

    @contextlib.asynccontextmanager
    async def listening(self, listener: socket.socket) -> AsyncIterator[None]:
        """Within it pages can be opened; at its end every app is ended."""
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            logger=_NOTHING,
            shutdown_timeout=1.0,
            keepalive_timeout=connections.REQUEST_SECONDS,  # from the start of a connection on, too
        )
        await runner.setup()
        assert runner.server is not None
        self._connections = Connections(runner.server, self._most, self._report)
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(self._report.unexpected)
        try:
            # So many are accepted at once: each should be read before it is the oldest.
            server = await loop.create_server(
                self._connections.accept, sock=listener, backlog=max(1, self._most // 4)
            )
            listener.listen(WAITING)
            with contextlib.closing(server):
                yield
        finally:
            await runner.cleanup()
            loop.set_exception_handler(before)

    async def _end_all(self, app: web.Application) -> None:
        """Closes every tab, and waits for its process."""
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
        """Whoever comes here has passed the guard."""
        assert self._connections is not None
        self._connections.authenticate(request)
        return await handler(request)

    async def _kill_on_signal(self, received: "asyncio.Queue[signal.Signals]") -> None:
        await received.get()
        for session in self.sessions:
            session.kill()

    # ---- what pages ask for

    async def _index(self, request: web.Request) -> web.Response:
        """The page; with the token in its address, the cookie and the way to the page without."""
        if "token" in request.query:
            # No redirect: after a link on another site its cookie would not be sent back.
            opening = web.Response(text=OPENING, content_type="text/html")
            self.guard.set_cookie(opening)
            return opening
        self._require_free_slot()
        address = html.escape(f"ws://{request.host}/ws")
        return web.Response(text=self._page.substitute(address=address), content_type="text/html")

    async def _static(self, request: web.Request) -> web.FileResponse:
        """One of few files; a name is never a path."""
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return web.FileResponse(file, headers={"Cache-Control": "no-cache"})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        """A tab: one process, from here until the tab is closed."""
        query = request.query
        width, height = (str(cells) for cells in messages.DEFAULT_SIZE)
        try:
            size = messages.size_of(query.get("width", width), query.get("height", height))
        except InvalidMessage as error:
            raise web.HTTPBadRequest(text=f"{error}.") from None
        self._require_free_slot()
        websocket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=messages.MAX_BYTES + 1,  # the first size that is too much
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
                request.transport.abort()  # whatever it has not read by now
            self._websockets.discard(websocket)
            self.sessions.discard(session)
        return websocket

    def _require_free_slot(self) -> None:
        if self._ending or len(self.sessions) >= MAX_SESSIONS:
            raise web.HTTPServiceUnavailable(text=FULL)

    async def _handle_messages(self, websocket: web.WebSocketResponse, session: Session) -> None:
        """Passes on what the page says, until it says no more.

        Raises:
            InvalidMessage: it said what no page of ours says, or nothing for too long.
        """
        while True:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    received = await websocket.receive()
            except TimeoutError:
                raise InvalidMessage("it was not used") from None
            if received.type is WSMsgType.BINARY:
                raise InvalidMessage("binary message")
            if received.type is not WSMsgType.TEXT:
                return
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await _forward(messages.parse(received.data), websocket, session)
            except TimeoutError:
                raise InvalidMessage("the app does not answer") from None


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
    """Says goodbye; a browser that does not hear it is left."""
    if not websocket.prepared:
        return
    try:
        async with asyncio.timeout(2 * CLOSE_SECONDS):
            await websocket.close(code=WSCloseCode.POLICY_VIOLATION, message=reason.encode())
    except (TimeoutError, ConnectionError):
        pass
    except asyncio.CancelledError:
        # All who write to a browser that does not read wait for one thing together: where one of
        # them is cancelled, aiohttp cancels the others.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
