"""The served app: invalid requests are refused."""

import serve_matrix
from measuring import Options, Row


def served(options: Options) -> Row:
    """Sends every combination of host, origin and token to every route."""
    del options
    figure = serve_matrix.refusals()
    return Row(
        "served: wrong or missing Host, Origin, token on every route, including /ws",
        "all refused, 0 processes started",
        f"{figure.refused:,} of {figure.requests:,} refused, {figure.started} processes started",
        ok=figure.refused == figure.requests and figure.started == 0,
    )
