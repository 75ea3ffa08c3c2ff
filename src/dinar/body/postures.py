"""Random postures in canonical form, for generated people: standing, stepping, sitting, reaching, hands at the body."""

from __future__ import annotations

import numpy as np

from .motion import Motion
from .procedural import HIP_HEIGHT, _arm, _bend, _motion, _place, _spine, _stand

ARMS = ("hang", "hips", "crossed", "pockets", "face", "wide", "reach", "any")


def _random_arm(rng: np.random.Generator, side: str, kind: str) -> dict[str, np.ndarray]:
    u, n = rng.uniform, rng.normal
    match kind:
        case "hang":
            a = {"down": u(66, 84), "swing": n(4, 8), "elbow": abs(n(14, 10)), "roll": n(-4, 15), "twist": n(0, 8)}
        case "hips":
            a = {"down": u(42, 58), "swing": u(-28, -8), "elbow": u(80, 100), "twist": u(-70, -45), "roll": u(-30, 0)}
        case "crossed":
            a = {"down": u(68, 80), "swing": u(18, 34), "elbow": u(95, 115), "twist": u(-5, 25), "roll": u(0, 50)}
        case "pockets":
            a = {"down": u(66, 76), "swing": u(-14, 4), "elbow": u(28, 48), "twist": u(-40, -15), "roll": u(-20, 20)}
        case "face":
            a = {"down": u(45, 80), "swing": u(10, 50), "elbow": u(115, 142), "twist": u(10, 60), "roll": u(-20, 60)}
        case "wide":
            a = {"down": u(-30, 60), "swing": u(-20, 20), "elbow": u(0, 60), "twist": u(-40, 60), "roll": u(-40, 60)}
        case "reach":
            a = {"down": u(-70, 70), "swing": u(20, 90), "elbow": u(0, 70), "twist": u(-20, 60), "roll": u(-40, 60)}
        case _:
            a = {"down": u(-80, 82), "swing": u(-40, 90), "elbow": u(0, 140), "twist": u(-70, 80), "roll": u(-60, 60)}
    wrist = (u(0, 30), 0.0) if kind == "hips" else (n(0, 10), n(0, 6))
    return _arm(side, wrist=wrist, shrug=abs(n(0, 3)) + max(0.0, (10 - a["down"]) / 6), **a)


def posture(rng: np.random.Generator) -> Motion:
    """A random pose with the feet on the floor; about a third stand with hanging arms, as for a photo."""
    u, n = rng.uniform, rng.normal
    kind = rng.choice(["stand", "step", "sit", "squat", "lean"], p=[0.52, 0.22, 0.10, 0.06, 0.10])
    arms = str(rng.choice(ARMS, p=[0.36, 0.1, 0.06, 0.1, 0.08, 0.12, 0.1, 0.08]))
    other = arms if rng.random() < (0.8 if arms in ("crossed", "hang") else 0.4) else str(rng.choice(ARMS))
    upper = _random_arm(rng, "left", arms) | _random_arm(rng, "right", other)
    bow, side, turn = abs(n(2, 4)), n(0, 4), n(0, 8)
    one, drop, x, z = np.zeros(1), abs(n(0.004, 0.012)), n(0, 0.02), 0.0
    width, step = abs(n(0.10, 0.035)) + 0.03, (n(0, 0.03), n(0, 0.03))
    if kind == "step":
        d = u(0.08, 0.3) * rng.choice([-1, 1])
        step, drop = (d, -d), 0.02 + abs(d) * 0.12
    elif kind == "sit":
        drop, z, width, bow = u(0.34, 0.5), -u(0.3, 0.42), u(0.08, 0.2), u(0, 25)
        step = (n(0.05, 0.08), n(0.05, 0.08))
    elif kind == "squat":
        drop, bow, z, width = u(0.1, 0.45), u(5, 40), -0.05, u(0.12, 0.28)
    elif kind == "lean":
        x, side, width, drop = n(0, 0.06), n(0, 10), u(0.1, 0.3), u(0.01, 0.06)
    lean = _bend(forward=n(0, 2) + (u(-15, 0) if kind == "sit" else 0), left=n(0, 2.5), turn=n(0, 5))
    upper |= _spine(forward=bow, left=side, turn=turn)
    upper |= {"neck": _bend(n(0, 4), n(0, 4), n(0, 8)), "head": _bend(n(2, 6), n(0, 5), n(0, 16))}
    pelvis, around = _place(x, HIP_HEIGHT - drop, z, one), np.broadcast_to(lean, (1, 3, 3))
    legs = _stand(pelvis, around, width=width, yaw=u(0, 25), step=step)
    return _motion(f"{kind}, {arms}", pelvis, around, legs, upper, loop=False)
