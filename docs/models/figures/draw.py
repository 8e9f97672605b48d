"""Draw the figures of the models as SVG: ``python docs/models/figures/draw.py``.

A square box is a learned map, a rounded one data, a circle an operation; what is dashed takes part
in training only. Fills are light and their text dark, all else is of a middle tone, so that a
figure reads on white and on black; nothing is told by colour alone.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import NamedTuple

INK, LINE = "#1a1a1a", "#7f8790"
STYLES = {  # fill, stroke, corner radius
    "map": ("#d6e8f5", "#0072b2", 2),
    "data": ("#f3f1ea", LINE, 15),
    "only training": ("#fde8d3", "#d55e00", 2),
    "only training data": ("#fde8d3", "#d55e00", 15),
    "circle": ("#f3f1ea", LINE, 0),
}
HEIGHT, RADIUS, MARGIN = 38, 13, 8
FONT = 'font-family="Helvetica, Arial, DejaVu Sans, sans-serif"'


class Node(NamedTuple):
    """Something drawn around (x, y); `text` may have two lines, ``_`` and braces lower letters."""

    kind: str
    text: str
    x: float
    y: float
    width: float = 92

    @property
    def half(self) -> tuple[float, float]:
        """Half the width and height."""
        if self.kind == "circle":
            return RADIUS, RADIUS
        return self.width / 2, HEIGHT / 2 + 8 * self.text.count("\n")

    def svg(self) -> str:
        """Shape and text."""
        fill, stroke, corner = STYLES[self.kind]
        dash = ' stroke-dasharray="5 3"' if self.kind.startswith("only") else ""
        paint = f'fill="{fill}" stroke="{stroke}" stroke-width="1.5"{dash}'
        w, h = self.half
        if self.kind == "circle":
            shape = f'<circle cx="{self.x}" cy="{self.y}" r="{RADIUS}" {paint}/>'
        else:
            shape = (
                f'<rect x="{self.x - w}" y="{self.y - h}" width="{2 * w}" height="{2 * h}" '
                f'rx="{corner}" {paint}/>'
            )
        lines = self.text.split("\n")
        first = self.y + 5 - 8 * (len(lines) - 1)
        return shape + "".join(text(t, self.x, first + 17 * i) for i, t in enumerate(lines))


def text(line: str, x: float, y: float, *, fill: str = INK, anchor: str = "middle") -> str:
    """One line; ``a_b`` and ``a_{bc}`` have a lower b, bc."""
    parts = []
    back = ""
    for plain, braced, single in re.findall(r"([^_]+)|_(?:\{([^}]*)\}|(.))", line):
        if plain:
            parts.append(f"<tspan{back}>{escape(plain)}</tspan>")
            back = ""
        else:
            lower = escape(braced or single)
            parts.append(f'<tspan dy="4" font-size="10">{lower}</tspan>')
            back = ' dy="-4"'
    inside = "".join(parts)
    return (
        f'<text x="{x}" y="{y}" {FONT} font-size="13" fill="{fill}" text-anchor="{anchor}">'
        f"{inside}</text>"
    )


def arrow(a: Node, b: Node, *, bend: str = "", dashed: bool = False) -> str:
    """From a to b: straight, or first ``"across"`` or first ``"down"`` (or up)."""
    (aw, ah), (bw, bh) = a.half, b.half
    right, down = (1 if b.x > a.x else -1), (1 if b.y > a.y else -1)
    if bend == "across":
        points = [(a.x + right * aw, a.y), (b.x, a.y), (b.x, b.y - down * (bh + 2))]
    elif bend == "down":
        points = [(a.x, a.y + down * ah), (a.x, b.y), (b.x - right * (bw + 2), b.y)]
    elif a.y == b.y:
        points = [(a.x + right * aw, a.y), (b.x - right * (bw + 2), b.y)]
    else:
        points = [(a.x, a.y + down * ah), (b.x, b.y - down * (bh + 2))]
    path = " ".join(f"{x},{y}" for x, y in points)
    colour, head = (STYLES["only training"][1], "trained") if dashed else (LINE, "flow")
    dash = ' stroke-dasharray="5 3"' if dashed else ""
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dash} '
        f'marker-end="url(#{head})"/>'
    )


def marker(name: str, colour: str) -> str:
    """Head of an arrow."""
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0,0.5 L8,4 L0,7.5 z" fill="{colour}"/></marker>'
    )


def write(name: str, title: str, nodes: list[Node], parts: list[str]) -> None:
    """Write ``name.svg`` beside this file."""
    left = min(n.x - n.half[0] for n in nodes) - MARGIN
    top = min(n.y - n.half[1] for n in nodes) - MARGIN
    width = max(n.x + n.half[0] for n in nodes) + MARGIN - left
    height = max(n.y + n.half[1] for n in nodes) + MARGIN - top
    heads = marker("flow", LINE) + marker("trained", STYLES["only training"][1])
    drawn = "\n".join(parts + [n.svg() for n in nodes])
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} {top} {width} {height}" '
        f'width="{width}" height="{height}" role="img">\n<title>{escape(title)}</title>\n'
        f"<defs>{heads}</defs>\n{drawn}\n</svg>\n"
    )
    Path(__file__).with_name(f"{name}.svg").write_text(svg, encoding="utf-8")


def prediction(x: float, y: float, target: str) -> tuple[list[Node], list[str]]:
    """The predicted cell, and below it what training compares it with."""
    predicted = Node("data", "x̂", x, y, 60)
    wanted = Node("only training data", f"x\n{target}", x, y + 76, 100)
    return [predicted, wanted], [arrow(wanted, predicted, dashed=True)]


def additive() -> None:
    a, b = Node("map", "e_A", 50, 0, 60), Node("map", "e_B", 50, 56, 60)
    x0 = Node("data", "x_0", 50, -56, 60)
    plus, out = Node("circle", "+", 140, 0), Node("data", "x̂ of A+B", 230, 0)
    arrows = [arrow(x0, plus, bend="across"), arrow(a, plus), arrow(b, plus, bend="across")]
    write("additive", "Additive", [x0, a, b, plus, out], [*arrows, arrow(plus, out)])


def bilinear() -> None:
    p = Node("data", "p", 30, 0, 60)
    row = Node("map", "P\nrows of G", 130, 0, 90)
    w, g = Node("map", "W", 235, 0, 60), Node("map", "G\ngenes", 330, 0, 70)
    plus, out = Node("circle", "+", 415, 0), Node("data", "x̂", 490, 0, 60)
    b, x0 = Node("map", "b", 415, 62, 60), Node("data", "x_0", 415, -62, 60)
    arrows = [arrow(p, row), arrow(row, w), arrow(w, g), arrow(g, plus), arrow(plus, out)]
    nodes = [p, row, w, g, plus, out, b, x0]
    write("bilinear", "Bilinear", nodes, [*arrows, arrow(b, plus), arrow(x0, plus)])


def linear() -> None:
    p, c = Node("data", "p", 30, 0, 60), Node("data", "c", 30, 56, 60)
    join, w = Node("circle", "‖", 110, 0), Node("map", "W, b", 190, 0, 80)
    plus, x0 = Node("circle", "+", 280, 0), Node("data", "x_0", 30, -56, 60)
    ends, compared = prediction(370, 0, "perturbed cell")
    arrows = [arrow(p, join), arrow(c, join, bend="across"), arrow(join, w), arrow(w, plus)]
    arrows += [arrow(x0, plus, bend="across"), arrow(plus, ends[0]), *compared]
    write("linear", "Linear", [p, c, join, w, plus, x0, *ends], arrows)


def latent_additive() -> None:
    x0, p = Node("data", "x_0", 30, 0, 60), Node("data", "p", 30, 62, 60)
    f_x, f_p = Node("map", "f_{ctrl}", 125, 0, 80), Node("map", "f_{pert}", 125, 62, 80)
    plus, join = Node("circle", "+", 210, 0), Node("circle", "‖", 270, 0)
    c, dec = Node("data", "c", 270, 62, 60), Node("map", "f_{dec}", 345, 0, 80)
    ends, compared = prediction(450, 0, "perturbed cell")
    arrows = [arrow(x0, f_x), arrow(p, f_p), arrow(f_x, plus), arrow(f_p, plus, bend="across")]
    arrows += [arrow(plus, join), arrow(c, join), arrow(join, dec), arrow(dec, ends[0])]
    nodes = [x0, p, f_x, f_p, plus, join, c, dec, *ends]
    write("latent_additive", "LatentAdditive", nodes, [*arrows, *compared])


def decoder_only() -> None:
    p, c = Node("data", "p", 30, 0, 60), Node("data", "c", 30, 62, 60)
    join, dec = Node("circle", "‖", 110, 0), Node("map", "f_{dec}", 190, 0, 80)
    ends, compared = prediction(295, 0, "perturbed cell")
    arrows = [arrow(p, join), arrow(c, join, bend="across"), arrow(join, dec)]
    nodes = [p, c, join, dec, *ends]
    write("decoder_only", "DecoderOnly", nodes, [*arrows, arrow(dec, ends[0]), *compared])


def cpa() -> None:
    x = Node("data", "x in training\nx_0 in prediction", 44, 0, 120)
    enc, z = Node("map", "f_{enc}", 160, 0, 76), Node("data", "z_{basal}", 255, 0, 70)
    plus, dec = Node("circle", "+", 340, 0), Node("map", "f_{dec}", 420, 0, 76)
    p, e = Node("data", "p", 160, 68, 60), Node("map", "E", 255, 68, 60)
    c, cc = Node("data", "c", 160, 118, 60), Node("map", "C", 255, 118, 60)
    adversary = Node("only training", "adversary", 375, -76, 92)
    told = Node("only training data", "p? c?", 500, -76, 70)
    ends, compared = prediction(520, 0, "the same cell")
    arrows = [arrow(x, enc), arrow(enc, z), arrow(z, plus), arrow(p, e), arrow(c, cc)]
    arrows += [arrow(e, plus, bend="across"), arrow(cc, plus, bend="across"), arrow(plus, dec)]
    arrows += [arrow(dec, ends[0]), arrow(z, adversary, bend="down", dashed=True), *compared]
    arrows += [arrow(adversary, told, dashed=True)]
    nodes = [x, enc, z, plus, dec, p, e, c, cc, adversary, told, *ends]
    write("cpa", "CPA", nodes, arrows)


def sams_vae() -> None:
    x = Node("data", "x in training\nx_0 in prediction", 44, 0, 120)
    join, enc = Node("circle", "‖", 135, 0), Node("map", "f_{enc}", 205, 0, 76)
    z = Node("data", "z_{basal}", 300, 0, 70)
    plus, dec = Node("circle", "+", 385, 0), Node("map", "f_{dec}", 465, 0, 76)
    c, shift = Node("data", "c", 135, 68, 60), Node("map", "a_c", 300, 68, 80)
    p, effect = Node("data", "p", 135, 124, 60), Node("map", "m_t ⊙ e_t", 300, 124, 80)
    draw = Node("only training data", "drawn", 300, -70, 70)
    drawn = Node("only training data", "drawn", 300, 190, 70)
    ends, compared = prediction(565, 0, "the same cell")
    arrows = [arrow(x, join), arrow(c, join), arrow(join, enc), arrow(enc, z), arrow(z, plus)]
    arrows += [arrow(c, shift), arrow(p, effect), arrow(shift, plus, bend="across")]
    arrows += [arrow(effect, plus, bend="across"), arrow(plus, dec), arrow(dec, ends[0])]
    arrows += [arrow(draw, z, dashed=True), arrow(drawn, effect, dashed=True), *compared]
    nodes = [x, join, enc, z, plus, dec, c, shift, p, effect, draw, drawn, *ends]
    write("sams_vae", "SAMS-VAE", nodes, arrows)


def biolord() -> None:
    x = Node("data", "x in training\nx_0 in prediction", 44, 0, 120)
    enc, z = Node("map", "f_{enc}", 165, 0, 76), Node("data", "z", 255, 0, 56)
    noise, plus = Node("only training data", "noise", 325, -66, 70), Node("circle", "+", 325, 0)
    join, dec = Node("circle", "‖", 385, 0), Node("map", "f_{dec}", 460, 0, 76)
    p, f_p = Node("data", "p", 165, 68, 60), Node("map", "f_{pert}", 265, 68, 76)
    c, a = Node("data", "c", 165, 118, 60), Node("map", "a_c", 265, 118, 76)
    ends, compared = prediction(560, 0, "the same cell")
    arrows = [arrow(x, enc), arrow(enc, z), arrow(z, plus), arrow(plus, join), arrow(join, dec)]
    arrows += [arrow(noise, plus, dashed=True), arrow(p, f_p), arrow(c, a), arrow(dec, ends[0])]
    arrows += [arrow(f_p, join, bend="across"), arrow(a, join, bend="across"), *compared]
    write("biolord", "Biolord", [x, enc, z, noise, plus, join, dec, p, f_p, c, a, *ends], arrows)


def legend() -> None:
    shapes = [
        Node("map", "learned", 45, 0, 90),
        Node("data", "data", 150, 0, 80),
        Node("circle", "+", 235, 0),
        Node("circle", "‖", 320, 0),
        Node("only training", "only in training", 470, 0, 120),
    ]
    words = [text("sum", 254, 5, fill=LINE, anchor="start")]
    words += [text("joined", 339, 5, fill=LINE, anchor="start")]
    write("legend", "How to read the figures", shapes, words)


if __name__ == "__main__":
    for draw_one in (additive, bilinear, linear, latent_additive, decoder_only):
        draw_one()
    for draw_one in (cpa, sams_vae, biolord, legend):
        draw_one()
