"""The colours of plots and pages; importing them loads no matplotlib."""

# One colour per role; pages define other colours for the same roles in dark mode.
PAPER = "#ffffff"
INK = "#1f2a37"
MUTED = "#5b6776"
GRID = "#e6e9ee"
GHOST = "#cdd3db"
SERIES = ("#1d5fa0", "#c2641a", "#1a8768", "#7b52a8")
DIVERGED = "#b42a25"
VALIDATION, TRAINING = SERIES[:2]

# report.css has a second set of these colours for dark mode.
ROLES = {
    "paper": PAPER,
    "ink": INK,
    "muted": MUTED,
    "grid": GRID,
    "ghost": GHOST,
    "diverged": DIVERGED,
    **{f"series-{i}": color for i, color in enumerate(SERIES, start=1)},
}
