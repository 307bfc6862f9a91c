"""The served app: requests that are wrong in some way."""

import serve_matrix
from measuring import Options, Row


def served(options: Options) -> Row:
    """Every combination of host, origin and token on every route."""
    del options
    figure = serve_matrix.refusals()
    return Row(
        "served: wrong or missing Host, Origin, token on every route, /ws too",
        "all refused, 0 processes started",
        f"{figure.refused:,} of {figure.requests:,} refused, {figure.started} processes started",
        ok=figure.refused == figure.requests and figure.started == 0,
    )
