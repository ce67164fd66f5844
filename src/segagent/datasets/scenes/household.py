"""Household things, each a parametric drawing: every call draws another member of the class."""

from __future__ import annotations

import numpy as np

from segagent.datasets.scenes.drawing import Dice, Pen, arc, rectangle


def mug(pen: Pen, dice: Dice) -> None:
    """A mug with its opening and a handle one sees through."""
    wide, tall, taper = dice.between(0.5, 0.68), dice.between(0.6, 0.9), dice.between(0.0, 0.12)
    grip = dice.between(0.3, 0.42)
    pen.line(
        arc(wide - 0.05, 0.0, grip, tall * dice.between(0.5, 0.62), (-95, 95), num=16), dice.between(0.13, 0.18), 0.85
    )
    bottom = arc(0.0, tall - 0.12, wide - taper, 0.14, (0, 180), num=12)
    pen.fill(np.concatenate((((-wide, -tall), (wide, -tall)), bottom)))
    pen.fill(arc(0.0, -tall, wide, 0.16), 1.25)
    pen.fill(arc(0.0, -tall, wide * 0.84, 0.11), 0.45)


def key(pen: Pen, dice: Dice) -> None:
    """A key: ring, shaft and teeth."""
    bow, thick = dice.between(0.27, 0.36), dice.between(0.13, 0.17)
    pen.line(arc(-0.95, 0.0, bow, bow * dice.between(0.85, 1.15)), thick, closed=True)
    end = dice.between(0.9, 1.1)
    pen.line(((-0.95 + bow, 0.0), (end, 0.0)), thick)
    depth = dice.between(0.26, 0.36)
    for tooth in range(dice.whole(2, 3)):
        x = end - 0.06 - 0.24 * tooth
        pen.fill(rectangle(x - 0.07, 0.0, x + 0.07, depth * (1.0 if tooth % 2 == 0 else 0.75)))


def scissors(pen: Pen, dice: Dice) -> None:
    """Open scissors: two blades and two finger rings."""
    opening = np.radians(dice.between(10, 24))
    blade, bow = dice.between(1.0, 1.25), dice.between(0.21, 0.28)
    thick = dice.between(0.1, 0.13)
    for side in (-1.0, 1.0):
        direction = np.array((np.sin(opening) * side, -np.cos(opening)))
        normal = np.array((-direction[1], direction[0]))
        tip = direction * blade
        pen.fill(np.stack((-normal * 0.1 - direction * 0.1, tip, normal * 0.1 - direction * 0.1)), 1.2)
        wrist = -direction * 0.42
        pen.line(np.stack((np.zeros(2), wrist)), thick * 1.2, 0.8)
        centre = -direction * (0.42 + bow) - np.array((side * 0.07, 0.0))
        pen.line(arc(float(centre[0]), float(centre[1]), bow, bow * 1.25), thick, 0.8, closed=True)
    pen.fill(arc(0.0, 0.0, 0.06, 0.06, num=12), 0.35)


def umbrella(pen: Pen, dice: Dice) -> None:
    """An open umbrella with a hooked handle."""
    tall, hook = dice.between(0.75, 0.95), dice.between(0.14, 0.2)
    thick = dice.between(0.07, 0.1)
    pen.line(((0.0, -0.9), (0.0, 0.85)), thick, 0.45)
    pen.line(arc(hook, 0.85, hook, hook, (180, 20), num=12), thick, 0.45)
    ribs = dice.whole(3, 5)
    edge = [np.array(((-1.0, 0.0),))]
    for rib in range(ribs):
        x0, x1 = -1 + 2 * rib / ribs, -1 + 2 * (rib + 1) / ribs
        edge.append(arc((x0 + x1) / 2, 0.0, (x1 - x0) / 2, 0.12, (180, 360), num=8))
    dome = arc(0.0, 0.0, 1.0, tall, (0, -180), num=24)
    pen.fill(np.concatenate([*edge, dome]))
    for rib in range(1, ribs):
        pen.line(((0.0, -tall), (-0.5 + rib / ribs, -tall * 0.62), (-1 + 2 * rib / ribs, -0.08)), 0.035, 0.7)
    pen.line(((0.0, -tall), (0.0, -tall - 0.14)), thick, 0.45)


def ladder(pen: Pen, dice: Dice) -> None:
    """A ladder of four to six rungs."""
    foot, head = dice.between(0.36, 0.5), dice.between(0.26, 0.36)
    rungs, thick = dice.whole(4, 6), dice.between(0.09, 0.125)
    for side in (-1, 1):
        pen.line(((side * foot, 1.0), (side * head, -1.0)), thick)
    for rung in range(rungs):
        y = 0.78 - 1.56 * rung / (rungs - 1)
        half = foot + (head - foot) * (1 - y) / 2
        pen.line(((-half, y), (half, y)), thick * 0.85, 0.85)


def fork(pen: Pen, dice: Dice) -> None:
    """A table fork of three or four tines."""
    tines, half = dice.whole(3, 4), dice.between(0.24, 0.32)
    thick, root = dice.between(0.075, 0.095), dice.between(-0.42, -0.3)
    for tine in range(tines):
        x = -half + 2 * half * tine / (tines - 1)
        pen.line(((x, -1.1), (x, root)), thick)
    cup = arc(0.0, root, half + thick / 2, 0.34, (0, 180), num=14)
    pen.fill(np.concatenate((((-half - thick / 2, root - 0.06), (half + thick / 2, root - 0.06)), cup)))
    wide = dice.between(0.09, 0.14)
    pen.fill(((-0.06, root + 0.2), (0.06, root + 0.2), (wide, 1.0), (0.0, 1.1), (-wide, 1.0)))


def chair(pen: Pen, dice: Dice) -> None:
    """A chair with a slatted back, seen slightly from above."""
    half, back, leg = dice.between(0.42, 0.52), dice.between(-1.1, -0.9), dice.between(0.85, 1.0)
    thick, slant = dice.between(0.1, 0.13), dice.between(0.14, 0.24)
    for x in (-half + slant, half + slant):
        pen.line(((x, 0.0), (x, leg - 0.22)), thick * 0.8, 0.65)
        pen.line(((x, 0.0), (x + 0.04, back)), thick)
    slats = dice.whole(2, 3)
    for slat in range(slats):
        y = back + 0.08 + slat * 0.26
        pen.line(((-half + slant, y), (half + slant, y)), thick * 1.15, 0.9)
    pen.fill(((-half - slant, 0.22), (half, 0.22), (half + slant, -0.1), (-half + slant, -0.1)), 1.1)
    pen.fill(rectangle(-half - slant, 0.2, half, 0.3), 0.75)
    for x in (-half - slant + thick / 2, half - thick / 2):
        pen.line(((x, 0.25), (x, leg)), thick)


def book(pen: Pen, dice: Dice) -> None:
    """A closed book with a label, its pages showing on two sides."""
    half, thick = dice.between(0.58, 0.72), dice.between(0.16, 0.26)
    pen.fill(((-half, 0.85), (-half + thick, 0.85 + thick), (half + thick, 0.85 + thick), (half, 0.85)), 1.85)
    pen.fill(((half, -0.85), (half + thick, -0.85 + thick), (half + thick, 0.85 + thick), (half, 0.85)), 1.7)
    for k in (1, 2):
        d = thick * k / 3
        pen.line(((-half + d, 0.85 + d), (half + d, 0.85 + d), (half + d, -0.85 + d)), 0.025, 1.3)
    pen.fill(rectangle(-half, -0.85, half, 0.85))
    pen.fill(rectangle(-half, -0.85, -half + 0.16, 0.85), 0.6)
    label = dice.between(0.2, 0.34)
    pen.fill(rectangle(-half + 0.34, -0.6, half - 0.18, -0.6 + label), 1.7)
    pen.line(((-half, 0.85), (-half + thick, 0.85 + thick), (half + thick, 0.85 + thick)), 0.06, 0.8)


def lamp(pen: Pen, dice: Dice) -> None:
    """A table lamp."""
    top, low, drop = dice.between(0.24, 0.38), dice.between(0.58, 0.75), dice.between(-0.15, 0.02)
    pen.line(((0.0, drop), (0.0, 0.85)), dice.between(0.1, 0.15), 0.55)
    if dice.between(0, 1) < 0.4:
        pen.fill(arc(0.0, 0.5, 0.2, 0.24), 0.6)
    foot = dice.between(0.36, 0.5)
    pen.fill(np.concatenate((arc(0.0, 0.95, foot, 0.2, (180, 360), num=14), ((foot, 1.0), (-foot, 1.0)))), 0.55)
    pen.fill(((-top, -1.0), (top, -1.0), (low, drop), (-low, drop)))
    pen.line(((-low, drop), (low, drop)), 0.06, 0.75)
    pen.line(((-top, -1.0), (top, -1.0)), 0.06, 0.75)


def bottle(pen: Pen, dice: Dice) -> None:
    """A labelled bottle."""
    half, neck, shoulder = dice.between(0.3, 0.42), dice.between(0.1, 0.15), dice.between(-0.4, -0.15)
    pen.fill(
        ((-neck, -1.0), (neck, -1.0), (neck, shoulder - 0.3), (half * 0.85, shoulder - 0.08), (half, shoulder + 0.1),
         (half, 0.95), (half - 0.08, 1.03), (-half + 0.08, 1.03), (-half, 0.95), (-half, shoulder + 0.1),
         (-half * 0.85, shoulder - 0.08), (-neck, shoulder - 0.3))
    )  # fmt: skip
    pen.fill(rectangle(-neck - 0.04, -1.15, neck + 0.04, -0.93), 0.45)
    top = dice.between(0.12, 0.25)
    pen.fill(rectangle(-half, top, half, top + dice.between(0.35, 0.5)), 1.6)


def hammer(pen: Pen, dice: Dice) -> None:
    """A claw hammer."""
    thick, top = dice.between(0.09, 0.13), dice.between(-0.62, -0.54)
    pen.fill(((-thick * 0.8, top), (thick * 0.8, top), (thick * 1.3, 1.15), (-thick * 1.3, 1.15)), 0.75)
    face = dice.between(0.5, 0.6)
    pen.fill(
        ((-face, -0.86), (-0.36, -0.86), (-0.32, -0.8), (0.14, -0.8), (0.4, -0.74), (0.66, -0.46), (0.42, -0.58),
         (0.12, -0.52), (-0.32, -0.5), (-0.36, -0.44), (-face, -0.44))
    )  # fmt: skip


def glasses(pen: Pen, dice: Dice) -> None:
    """Spectacles seen from the front, without lenses."""
    rx, ry, thick = dice.between(0.36, 0.44), dice.between(0.28, 0.4), dice.between(0.09, 0.13)
    for x in (-0.56, 0.56):
        pen.line(arc(x, 0.0, rx, ry), thick, closed=True)
    pen.line(arc(0.0, 0.0, 0.2, 0.14, (200, 340), num=8), thick)
    lift = dice.between(0.1, 0.3)
    for side in (-1, 1):
        pen.line(((side * (0.54 + rx), -0.08), (side * (0.7 + rx), -0.1 - lift)), thick)
