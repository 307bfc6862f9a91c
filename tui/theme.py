"""The app's dark and light themes. No information is carried by colour alone."""

from textual.theme import Theme

# Of curves, by their style. They differ for the colour-blind too (after Okabe and Ito, 2008).
CURVES_DARK = (
    "#5ab4f0",
    "#f0a030",
    "#35c79a",
    "#e58bbf",
    "#f0e15a",
    "#f0705a",
    "#a79bf5",
    "#b4c0cd",
)
CURVES_LIGHT = (
    "#0068a8",
    "#b36b00",
    "#00795a",
    "#b03f7f",
    "#857600",
    "#c2410c",
    "#5b4bc4",
    "#55606d",
)
N_CURVES = len(CURVES_DARK)


def curve_variables(colours: tuple[str, ...]) -> dict[str, str]:
    """Returns the colours of curves as variables of a theme."""
    return {f"curve-{i}": colour for i, colour in enumerate(colours)}


DARK = Theme(
    name="jmlp-dark",
    primary="#6cb6ff",
    accent="#6cb6ff",
    secondary="#8b98a9",
    foreground="#d7dde5",
    background="#0f1419",
    surface="#151b22",
    panel="#1c242d",
    success="#7ec699",
    warning="#e0b060",
    error="#f0756b",
    dark=True,
    variables={
        **curve_variables(CURVES_DARK),
        "border": "#2b3642",
        "border-blurred": "#2b3642",
        "block-cursor-background": "#24425e",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#1c2b39",
        "block-hover-background": "#18212a",
        "footer-background": "#151b22",
        "footer-key-foreground": "#6cb6ff",
        "footer-description-foreground": "#8b98a9",
    },
)

LIGHT = Theme(
    name="jmlp-light",
    primary="#1d5fa0",
    accent="#1d5fa0",
    secondary="#5b6776",
    foreground="#1f2a37",
    background="#ffffff",
    surface="#f4f6f9",
    panel="#e6e9ee",
    success="#1a7a57",
    warning="#8f5a00",
    error="#b42a25",
    dark=False,
    variables={
        **curve_variables(CURVES_LIGHT),
        "border": "#cdd3db",
        "border-blurred": "#cdd3db",
        "block-cursor-background": "#cfe1f4",
        "block-cursor-foreground": "#0b1f33",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#e6eef7",
        "block-hover-background": "#eef2f7",
        "footer-background": "#f4f6f9",
        "footer-key-foreground": "#1d5fa0",
        "footer-description-foreground": "#5b6776",
    },
)
