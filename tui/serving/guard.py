"""Who may talk to the server: the right host, the right origin, and the token."""

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

TOKEN_BYTES = 32

# Everything that the page needs comes from the server itself. The terminal in the page makes style
# elements, and an empty icon keeps the browser from asking for one.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src data:; connect-src 'self' {websockets}; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
WEBSOCKET = "websocket"  # the name of its route

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


class Guard:
    """Refuses with 403 whatever does not come from the page that was opened with the token."""

    def __init__(self, host: str, port: int, address: str) -> None:
        """A new token.

        Args:
            host: the name or address that was asked for.
            port: where the server listens.
            address: what the name stands for.
        """
        names = {host, address}
        if is_loopback(address):
            names |= {"127.0.0.1", "localhost"}  # also what the end of a tunnel is called
        self.hosts = frozenset(place for name in names for place in _places(name, port))
        self.url = f"http://{min(_places(host, port), key=len)}"
        self.cookie = f"jmlp-{port}"  # browsers send the cookies of a host to all of its ports
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
        """The address that opens the app, as often as wanted."""
        return f"{self.url}/?token={self._token}"

    def address_once(self) -> str:
        """One for the browser's command line, which others can read: it opens the app once."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._one_time_tokens.add(token)
        return f"{self.url}/?token={token}"

    def accepts(self, token: str) -> bool:
        """Whether this token of an address is right."""
        if self._is_token(token):
            return True
        if (
            token in self._one_time_tokens
        ):  # long and random: how long a comparison takes tells nothing
            self._one_time_tokens.remove(token)
            return True
        return False

    def set_cookie(self, response: web.StreamResponse) -> None:
        """Lets the browser in from now on, until it is closed."""
        response.set_cookie(self.cookie, self._token, httponly=True, samesite="Strict", path="/")

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Looks at every request before anything else does."""
        if refusal := self._refusal(request):
            raise web.HTTPForbidden(text=refusal)
        return await handler(request)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """What every answer says to the browser."""
        del request
        response.headers.update(self._headers)
        response.headers.setdefault("Cache-Control", "no-store")

    def _refusal(self, request: web.Request) -> str:
        hosts, origins = request.headers.getall("Host", []), request.headers.getall("Origin", [])
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return f"This host is not served. Open the address that jmlp serve printed: {self.url}"
        # A browser names the origin whenever a script asks, and for no page that is opened.
        needed = request.match_info.route.name == WEBSOCKET
        if origins != [f"http://{hosts[0]}"] and (origins or needed):
            return "This page may not be used from another one."
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
    """How browsers write a host."""
    host = f"[{name}]" if ":" in name else name.lower()
    return (host, f"{host}:{port}") if port == 80 else (f"{host}:{port}",)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on this machine.

    Args:
        host: a name or an address.
        port: 0 takes any that is free.

    Raises:
        OSError: there is no such host here, or the port is taken or not allowed.
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
