"""Access control: every request needs the right host, the right origin and the token."""

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

TOKEN_BYTES = 32

# The page loads everything from this server. The terminal in it needs inline styles, and an empty
# icon in a data URL keeps the browser from requesting one.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src data:; connect-src 'self' {websockets}; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
WEBSOCKET = "websocket"  # name of the route

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(address: str) -> bool:
    """Returns whether only this machine can reach an address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


class Guard:
    """Refuses, with status 403, all requests that do not come from a page opened with the token."""

    def __init__(self, host: str, port: int, address: str) -> None:
        """Makes a new token.

        Args:
            host: the host name or address that the user gave.
            port: the port that the server listens on.
            address: the address that the name resolves to.
        """
        names = {host, address}
        if is_loopback(address):
            names |= {"127.0.0.1", "localhost"}  # also used through an SSH tunnel
        self.hosts = frozenset(place for name in names for place in _places(name, port))
        self.url = f"http://{min(_places(host, port), key=len)}"
        self.cookie = f"jmlp-{port}"  # browsers send a host's cookies to all of its ports
        self._token = secrets.token_urlsafe(TOKEN_BYTES)
        self._one_time_tokens: set[str] = set()
        websockets = " ".join(f"ws://{place}" for place in sorted(self.hosts))
        self._headers = {
            "Content-Security-Policy": POLICY.format(websockets=websockets),
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }

    def address(self) -> str:
        """Returns the address that opens the app any number of times."""
        return f"{self.url}/?token={self._token}"

    def address_once(self) -> str:
        """Returns an address that works once: other users can read a browser's command line."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._one_time_tokens.add(token)
        return f"{self.url}/?token={token}"

    def accepts(self, token: str) -> bool:
        """Returns whether a token in an address is valid; one that works once is used up."""
        if self._is_token(token):
            return True
        if token in self._one_time_tokens:  # too random for a timing attack
            self._one_time_tokens.remove(token)
            return True
        return False

    def set_cookie(self, response: web.StreamResponse) -> None:
        """Sets the cookie that gives the browser access until it is closed."""
        response.set_cookie(self.cookie, self._token, httponly=True, samesite="Strict", path="/")

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Checks every request before any other code handles it."""
        if refusal := self._refusal(request):
            raise web.HTTPForbidden(text=refusal)
        return await handler(request)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Adds the security headers to a response."""
        del request
        response.headers.update(self._headers)
        response.headers.setdefault("Cache-Control", "no-store")

    def _refusal(self, request: web.Request) -> str:
        hosts, origins = request.headers.getall("Host", []), request.headers.getall("Origin", [])
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return f"This host is not served. Open the address that jmlp serve printed: {self.url}"
        # Browsers send the origin with a script's requests, but not when a page is opened.
        needed = request.match_info.route.name == WEBSOCKET
        if origins != [f"http://{hosts[0]}"] and (origins or needed):
            return "This page may not be used from another site."
        token = request.query.get("token")
        if token is not None and request.path == "/":
            allowed = self.accepts(token)
        else:
            allowed = self._is_token(request.cookies.get(self.cookie, ""))
        return "" if allowed else "Open the address that jmlp serve printed, with its token."

    def _is_token(self, text: str) -> bool:
        given = text.encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self._token.encode("ascii"))


def _places(name: str, port: int) -> tuple[str, ...]:
    """Returns the Host headers that browsers may send."""
    host = f"[{name}]" if ":" in name else name.lower()
    return (host, f"{host}:{port}") if port == 80 else (f"{host}:{port}",)


def listen(host: str, port: int) -> socket.socket:
    """Opens a listening socket.

    Args:
        host: a host name or address of this machine.
        port: the port; 0: any free one.

    Raises:
        OSError: the host is not this machine, or the port is in use or not permitted.
    """
    family, kind, protocol, _, place = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener
