"""Animals, plants, vehicles and emblems, each a parametric drawing."""

from __future__ import annotations

import numpy as np

from segagent.datasets.scenes.drawing import Dice, Pen, arc, rectangle


def leaf(pen: Pen, dice: Dice) -> None:
    """A leaf with veins and a stem."""
    wide, low = dice.between(0.42, 0.62), dice.between(0.05, 0.3)
    steps = np.linspace(0, 1, 16)
    profile = wide * np.sin(np.pi * steps ** (0.75 + low)) ** 0.9
    y = 0.75 - 1.75 * steps
    right = np.stack((profile, y), axis=1)
    left = np.stack((-profile[::-1], y[::-1]), axis=1)
    pen.fill(np.concatenate((right, left)))
    bend = dice.between(-0.12, 0.12)
    pen.line(((bend, 1.15), (0.0, 0.7)), 0.08, 0.75)
    pen.line(((0.0, 0.75), (0.0, -0.85)), 0.05, 0.55)
    for k in range(1, 5):
        base = 0.75 - 0.32 * k
        for side in (-1, 1):
            pen.line(((0.0, base), (side * wide * 0.62, base - 0.28)), 0.03, 0.65)


def fish(pen: Pen, dice: Dice) -> None:
    """A fish from the side."""
    tall, tail = dice.between(0.36, 0.52), dice.between(0.32, 0.48)
    pen.fill(((0.4, 0.0), (1.05, -tail), (0.9, 0.0), (1.05, tail)), 0.85)
    pen.fill(((-0.3, -tall * 0.8), (0.15, -tall - dice.between(0.15, 0.28)), (0.3, -tall * 0.5)), 0.75)
    pen.fill(arc(-0.2, 0.0, 0.78, tall))
    pen.line(arc(-0.62, 0.0, 0.16, tall * 0.72, (-70, 70), num=10), 0.04, 0.55)
    pen.fill(((-0.15, 0.05), (0.15, 0.2), (-0.1, 0.28)), 0.7)
    pen.fill(arc(-0.7, -0.1, 0.11, 0.11, num=14), 1.9)
    pen.fill(arc(-0.71, -0.1, 0.055, 0.055, num=10), 0.1)


def ring(pen: Pen, dice: Dice) -> None:
    """A finger ring with a stone."""
    thick, gem = dice.between(0.16, 0.24), dice.between(0.26, 0.36)
    pen.line(arc(0.0, 0.2, 0.7, 0.7 * dice.between(0.9, 1.05), num=40), thick, closed=True)
    y = -0.62
    pen.fill(((-gem, y - 0.1), (-gem * 0.6, y - 0.3), (gem * 0.6, y - 0.3), (gem, y - 0.1), (0.0, y + 0.25)), 1.45)
    pen.line(((-gem, y - 0.1), (gem, y - 0.1)), 0.035, 0.8)
    pen.line(((-gem * 0.35, y - 0.1), (0.0, y + 0.25), (gem * 0.35, y - 0.1)), 0.035, 0.8)


def heart(pen: Pen, dice: Dice) -> None:
    """A heart."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    wide, notch = dice.between(0.85, 1.05), dice.between(4.0, 6.0)
    x = wide * np.sin(t) ** 3
    y = -(13 * np.cos(t) - notch * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 15
    pen.fill(np.stack((x, y), axis=1))


def arrow(pen: Pen, dice: Dice) -> None:
    """A block arrow."""
    shaft, head, neck = dice.between(0.13, 0.24), dice.between(0.48, 0.66), dice.between(0.1, 0.4)
    back = dice.between(0.0, 0.16)
    pen.fill(
        ((-1.0, -shaft), (neck, -shaft), (neck - back, -head), (1.0, 0.0), (neck - back, head), (neck, shaft),
         (-1.0, shaft))
    )  # fmt: skip


def star(pen: Pen, dice: Dice) -> None:
    """A five-pointed star."""
    inner = dice.between(0.36, 0.48)
    angles = np.radians(np.arange(10) * 36 - 90)
    radii = np.where(np.arange(10) % 2 == 0, 1.0, inner)
    pen.fill(np.stack((radii * np.cos(angles), radii * np.sin(angles)), axis=1))


def car(pen: Pen, dice: Dice) -> None:
    """A car from the side."""
    roof, front, back = dice.between(-0.62, -0.5), dice.between(0.3, 0.45), dice.between(-0.6, -0.4)
    pen.fill(
        ((-1.1, 0.3), (-1.08, -0.05), (-0.8, -0.12), (back, roof), (front - 0.1, roof), (front + 0.3, -0.1),
         (1.02, 0.0), (1.12, 0.3))
    )  # fmt: skip
    middle = (back + front) / 2
    pen.fill(((back + 0.08, roof + 0.1), (middle - 0.04, roof + 0.1), (middle - 0.04, -0.12), (-0.62, -0.12)), 1.75)
    pen.fill(
        ((middle + 0.05, roof + 0.1), (front - 0.14, roof + 0.1), (front + 0.14, -0.12), (middle + 0.05, -0.12)), 1.75
    )
    wheel = dice.between(0.22, 0.28)
    for x in (-0.62, 0.62):
        pen.fill(arc(x, 0.3, wheel, wheel), 0.2)
        pen.fill(arc(x, 0.3, wheel * 0.45, wheel * 0.45, num=16), 1.5)
    pen.line(((-1.0, 0.12), (1.05, 0.12)), 0.035, 0.7)


def house(pen: Pen, dice: Dice) -> None:
    """A house with a roof, door and windows."""
    half, eaves, ridge = dice.between(0.62, 0.78), dice.between(-0.3, -0.1), dice.between(-1.05, -0.85)
    if dice.between(0, 1) < 0.6:
        pen.fill(rectangle(half * 0.4, ridge + 0.05, half * 0.65, eaves), 0.5)
    pen.fill(rectangle(-half, eaves, half, 0.9))
    pen.fill(((-half - 0.18, eaves), (0.0, ridge), (half + 0.18, eaves)), 0.55)
    door = dice.between(-0.15, 0.15)
    pen.fill(rectangle(door - 0.13, 0.38, door + 0.13, 0.9), 0.35)
    for x in (-half + 0.22, half - 0.22):
        pen.fill(rectangle(x - 0.12, 0.02, x + 0.12, 0.28), 1.8)
        pen.line(((x, 0.02), (x, 0.28)), 0.03, 0.5)
        pen.line(((x - 0.12, 0.15), (x + 0.12, 0.15)), 0.03, 0.5)


def tree(pen: Pen, dice: Dice) -> None:
    """A tree, a fir or a broad-leaved one."""
    trunk = dice.between(0.1, 0.15)
    pen.fill(((-trunk, 0.1), (trunk, 0.1), (trunk * 1.4, 1.1), (-trunk * 1.4, 1.1)), 0.4)
    if dice.between(0, 1) < 0.5:
        layers = dice.whole(3, 4)
        for layer in range(layers):
            y = 0.55 - 1.2 * layer / layers
            half = 0.75 - 0.4 * layer / layers
            pen.fill(((-half, y), (half, y), (0.0, y - 0.85)), 0.95 - 0.12 * (layer % 2))
    else:
        pen.fill(arc(-0.38, -0.05, 0.42, 0.38), 0.9)
        pen.fill(arc(0.38, -0.05, 0.42, 0.38), 0.85)
        pen.fill(arc(0.0, -0.45, dice.between(0.5, 0.6), dice.between(0.45, 0.55)))


def hat(pen: Pen, dice: Dice) -> None:
    """A hat with a brim and a band."""
    half, tall, dent = dice.between(0.42, 0.55), dice.between(0.7, 1.0), dice.between(0.0, 0.12)
    low = 0.4
    pen.fill(arc(0.0, low, 1.0, dice.between(0.2, 0.27)), 0.9)
    crown = ((-half, low), (-half * 0.85, low - tall + 0.1), (-half * 0.6, low - tall), (0.0, low - tall + dent),
             (half * 0.6, low - tall), (half * 0.85, low - tall + 0.1), (half, low))  # fmt: skip
    pen.fill(np.concatenate((np.array(crown), arc(0.0, low, half, 0.1, (0, 180), num=10))))
    pen.fill(((-half, low - 0.22), (half, low - 0.22), (half, low + 0.02), (0.0, low + 0.1), (-half, low + 0.02)), 0.4)


def ball(pen: Pen, dice: Dice) -> None:
    """A ball with seams."""
    pen.fill(arc(0.0, 0.0, 1.0, 1.0, num=40))
    bulge = dice.between(0.35, 0.5)
    pen.line(arc(-1.05, 0.0, bulge + 0.15, 0.9, (-52, 52), num=14), 0.06, 0.5)
    pen.line(arc(1.05, 0.0, bulge + 0.15, 0.9, (128, 232), num=14), 0.06, 0.5)
    if dice.between(0, 1) < 0.6:
        pen.line(((0.0, -0.98), (0.0, 0.98)), 0.06, 0.5)
        pen.line(((-0.98, 0.0), (0.98, 0.0)), 0.06, 0.5)


def mushroom(pen: Pen, dice: Dice) -> None:
    """A toadstool with spots."""
    stem, tall = dice.between(0.18, 0.28), dice.between(0.75, 0.95)
    pen.fill(
        ((-stem, -0.05), (stem, -0.05), (stem * 1.35, 0.8), (stem, 0.92), (-stem, 0.92), (-stem * 1.35, 0.8)), 1.65
    )
    cap = np.concatenate((arc(0.0, 0.05, 0.95, tall, (180, 360), num=26), arc(0.0, 0.05, 0.95, 0.16, (0, 180), num=16)))
    pen.fill(cap)
    for x, y, r in ((-0.45, -0.25, 0.13), (0.1, -0.5, 0.15), (0.5, -0.15, 0.11)):
        pen.fill(arc(x, y, r * dice.between(0.8, 1.1), r, num=14), 1.75)
