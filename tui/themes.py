"""The themes. Colours that tell things apart are those of Okabe and Ito (2008): colour-blind people see them apart."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="dark", primary="#56B4E9", secondary="#009E73", accent="#E69F00", success="#2FBF8F", warning="#E69F00",
    error="#FF7A59", foreground="#D8DEE9", background="#12161C", surface="#1A2028", panel="#242C37", dark=True,
    variables={"block-cursor-text-style": "none", "muted": "#8A96A8", "curve-4": "#CC79A7", "curve-5": "#F0E442"},
)  # fmt: skip
LIGHT = Theme(
    name="light", primary="#0072B2", secondary="#007A5A", accent="#B35900", success="#00734F", warning="#9A5B00",
    error="#B83A00", foreground="#1B2027", background="#FBFBF8", surface="#F1F1EC", panel="#E2E3DC", dark=False,
    variables={"block-cursor-text-style": "none", "muted": "#5A636E", "curve-4": "#9B3F75", "curve-5": "#6B6A00"},
)  # fmt: skip
HIGH_CONTRAST = Theme(
    name="high-contrast", primary="#00FFFF", secondary="#00FF00", accent="#FFFF00", success="#00FF00",
    warning="#FFFF00", error="#FF8080", foreground="#FFFFFF", background="#000000", surface="#000000", panel="#1C1C1C",
    dark=True,
    variables={"block-cursor-text-style": "bold", "muted": "#FFFFFF", "curve-4": "#FF80FF", "curve-5": "#FFFFA0"},
)  # fmt: skip
THEMES = (DARK, LIGHT, HIGH_CONTRAST)
NAMES = tuple(theme.name for theme in THEMES)
