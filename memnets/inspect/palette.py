"""The colours of every figure, page and table: Okabe and Ito's, which the colour-blind tell apart.

Okabe and Ito, "Color universal design" (2008); grey and brown are added for a seventh and eighth
line, purple for one model more.
"""

BLUE, ORANGE, GREEN, PINK = "#0072b2", "#e69f00", "#009e73", "#cc79a7"
SKY, VERMILION = "#56b4e9", "#d55e00"
GREY, BROWN, PURPLE = "#8c8c8c", "#a0522d", "#5b3a8c"
LINES: tuple[str, ...] = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, GREY, BROWN)
"""In the order in which lines of one chart take them."""
INK, PALE = "#1f2933", "#c9d1d9"
"""Text, and what stands behind it."""
