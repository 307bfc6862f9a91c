"""The app's process behind a browser tab: how it is started, connected and ended."""

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import WSCloseCode, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from jmlp.system.processes import child_environment

DRIVER = "tui.framework.served:ServedDriver"
READY = b"__GANGLION__\n"  # the first line that a Textual app sends to a server

GRACE_SECONDS = 3.0  # after each step of ending a process
LAST_BYTES = 2000  # of stderr that are kept

# Variables that the app, its workers, Python and JAX read; credentials are not among them.
NAMES = {
    *("CURL_CA_BUNDLE", "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "REQUESTS_CA_BUNDLE"),
    *("SHELL", "TEMP", "TMP", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
}
PREFIXES = (
    *("CUDA_", "DYLD_", "HIP_", "JAX_", "JMLP_", "KERAS_", "LC_", "LD_", "LIBTPU_", "MKL_"),
    *("NCCL_", "NVIDIA_", "OMP_", "OPENBLAS_", "PYTHON", "ROCM_", "ROCR_", "SSL_CERT_", "TF_"),
    *("TPU_", "XDG_", "XLA_"),
)


def environment(variables: Mapping[str, str], width: int, height: int) -> dict[str, str]:
    """Returns the environment of an app's process.

    Args:
        variables: the server's environment.
        width: the page's width in cells.
        height: the page's height in cells.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if name in NAMES or name.startswith(PREFIXES)
    }
    return kept | {
        "COLORTERM": "truecolor",
        "COLUMNS": str(width),
        "ROWS": str(height),
        "TERM": "xterm-256color",
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "TEXTUAL_DRIVER": DRIVER,
    }


class Session(AppService):
    """The app's process and its packets.

    The packets are textual-serve's, but the process is started without a shell and in its own
    process group, and every wait for its end has a time limit.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        websocket: web.WebSocketResponse,
        say: Callable[[str], object],
    ) -> None:
        """Initialises the session.

        Args:
            arguments: the command of the process.
            websocket: the page's.
            say: prints a line for whoever runs the server.
        """

        async def close() -> None:
            await websocket.close(code=WSCloseCode.OK, message=b"the app was closed")

        super().__init__(
            shlex.join(arguments),
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=close,
            download_manager=DownloadManager(),  # required, though the app offers no downloads
        )
        self._arguments = tuple(arguments)
        self._say = say
        self.process: asyncio.subprocess.Process | None = None
        self._errors = b""
        self._forced = False
        self._tasks: list[asyncio.Task[None]] = []
        self._end: asyncio.Task[None] | None = None

    @property
    def stdin(self) -> asyncio.StreamWriter:
        """The process's pipe, to which textual-serve writes packets."""
        assert self.process is not None
        assert self.process.stdin is not None
        return self.process.stdin

    async def start(self, width: int, height: int) -> None:
        """Starts the process.

        Args:
            width: the page's width in cells.
            height: the page's height in cells.

        Raises:
            OSError: the process could not be started.
        """
        self.process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=child_environment(environment(os.environ, width, height)),
            start_new_session=True,
        )
        self._tasks = [asyncio.create_task(self.run()), asyncio.create_task(self._keep_errors())]

    async def run(self) -> None:
        """Forwards the process's output to the page until one of them is gone."""
        try:
            await self._relay()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            await self.remote_close()
        except Exception as error:  # the process sent an invalid packet
            self._say(f"this is a bug in jmlp: {type(error).__name__}: {error}")
            await self.remote_close()

    async def stop(self) -> None:
        """Ends the process, even if the caller is cancelled; may be called repeatedly."""
        if self._end is None:
            self._end = asyncio.create_task(self._stop())
        await asyncio.shield(self._end)

    def kill(self) -> None:
        """Kills the process and its whole group."""
        self._signal(signal.SIGKILL)

    async def _relay(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        stdout = self.process.stdout
        await stdout.readuntil(READY)
        handlers: dict[bytes, Callable[[bytes], Awaitable[None]]] = {
            b"D": self.on_data,
            b"M": self.on_meta,
            b"P": self.on_packed,
        }
        while True:
            kind = await stdout.readexactly(1)
            size = int.from_bytes(await stdout.readexactly(4), "big")
            await handlers[kind](await stdout.readexactly(size))

    async def _keep_errors(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        while data := await self.process.stderr.read(4096):
            self._errors = (self._errors + data)[-LAST_BYTES:]

    async def _stop(self) -> None:
        if self.process is None:
            return
        self._tasks[0].cancel()
        await asyncio.wait(self._tasks[:1])
        drained = asyncio.create_task(self._drain())  # a process with a full pipe cannot exit
        for step in (self._ask, self._terminate, self.kill):
            step()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), GRACE_SECONDS)
                break
        self._close_stdin()
        await asyncio.wait([drained, self._tasks[1]], timeout=GRACE_SECONDS)
        drained.cancel()
        self._tasks[1].cancel()
        code = self.process.returncode
        if code and not self._forced:
            words = self._errors.decode("utf-8", "replace").strip()
            self._say(f"the app of a tab ended with code {code}\n{words}".strip())

    async def _drain(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        while await self.process.stdout.read(64 * 1024):
            pass

    def _ask(self) -> None:
        with contextlib.suppress(RuntimeError, ConnectionError):
            self.stdin.write(self.encode_packet(b"M", b'{"type": "quit"}'))

    def _terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def _close_stdin(self) -> None:
        self.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        # Not after it has ended: another group may have the same id by then.
        if self.process is not None and self.process.returncode is None:
            self._forced = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
