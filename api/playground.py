"""GraphiQL, served whole from here: a page that needs no other host, under a policy that would let it reach none."""

import html
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

STATIC: Final = Path(__file__).parent / "static"
# CodeMirror and the dialogs set styles on their elements; fonts and icons of the style sheet are data.
POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; connect-src 'self'{sockets};"
    " img-src 'self' data:; font-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Prefill:
    """What stands in the sign-in form: a demo's login, which is no secret."""

    name: str
    password: str


class Playground:
    def __init__(self, prefill: Prefill | None = None) -> None:
        self.files = StaticFiles(directory=STATIC)
        given = prefill or Prefill("", "")
        page = (STATIC / "playground.html").read_text()
        self._page = page.replace("{name}", html.escape(given.name)).replace("{password}", html.escape(given.password))

    def page(self, request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = POLICY.format(nonce=nonce, sockets=_sockets(request.headers.get("host", "")))
        headers = {"content-security-policy": policy, "cache-control": "no-store", "vary": "accept"}
        return HTMLResponse(self._page.replace("{nonce}", nonce), headers=headers)


def _sockets(host: str) -> str:
    """The page's own host as a source for WebSocket, which not every browser takes 'self' for."""
    plain = (
        host.isascii()
        and host.replace(":", "").replace(".", "").replace("-", "").replace("[", "").replace("]", "").isalnum()
    )
    return f" ws://{host} wss://{host}" if plain else ""
