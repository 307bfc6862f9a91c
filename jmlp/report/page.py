"""The report as one self-contained HTML page, with styles and plots embedded."""

import re

import jinja2
from markupsafe import Markup

from jmlp.report.colours import ROLES
from jmlp.report.document import Document, Plot
from jmlp.report.text import visible


def page(document: Document) -> str:
    """The text of `report.html`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jmlp.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["inline"] = inline
    return environment.get_template("report.html.jinja").render(document=document, roles=ROLES)


def inline(plot: Plot) -> Markup:
    """A plot's SVG for embedding in the page, in the page's colours."""
    svg = plot.svg.decode("utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata)>.*?</\1>\s*", "", svg, flags=re.DOTALL)
    # Its style would apply to the whole page.
    svg = re.sub(r"<defs>\s*<style.*?</defs>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    # The remaining ids must be unique across the plots of a page.
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{plot.name}-", svg)
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'role="img"', svg, count=1)
    for role, color in ROLES.items():
        svg = svg.replace(color, f"var(--{role})")
    return Markup(svg)


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
