"""The page of a replay: one HTML file with its styles, its script and its data, and no request."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup, escape

from jmlp.replay.content import Replay
from jmlp.report.colours import ROLES
from jmlp.report.text import visible

NO_BREAK = "\N{NO-BREAK SPACE}"
# What HTML gives a meaning within a script, and line ends that JavaScript once did not allow.
_ESCAPED = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def page(replay: Replay) -> str:
    """The text of the file; the same content gives the same text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jmlp.replay", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    style, script = _style(), _read("jmlp.replay", "replay.js")
    return environment.get_template("replay.html.jinja").render(
        replay=replay,
        study_toml=escape(visible(replay.study_toml)),  # as it is, to be copied
        style=Markup(style),
        script=Markup(script),
        data=Markup(as_json(replay.data)),
        policy=_policy(style, script),
    )


def as_json(value: Any) -> str:
    """JSON that may stand in a script element: nothing in it ends the element or begins another."""
    text = json.dumps(_visible(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPED)


def _visible(value: Any) -> Any:
    """The same value, with the hidden characters of its texts escaped."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {name: _visible(inner) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [_visible(inner) for inner in value]
    return value


def _style() -> str:
    roles = "".join(f"  --{role}: {colour};\n" for role, colour in ROLES.items())
    sheets = (_read("jmlp.report", "report.css"), _read("jmlp.replay", "replay.css"))
    return f":root {{\n{roles}}}\n" + "\n".join(sheets)


def _policy(style: str, script: str) -> str:
    """Forbids every request, and every style and script but these two."""
    return (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _read(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _shown(value: object) -> object:
    """A text without hidden characters; no line ends between a number and its sign of per cent."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value).replace(" %", NO_BREAK + "%")
    return value
