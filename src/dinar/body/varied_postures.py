"""Random postures beyond standing: seated, kneeling, crouching, lying, jumping, arms before the body."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from .motion import Motion
from .postures import ARMS, _random_arm, posture
from .procedural import _MIRROR, _UPRIGHT, HIP_HEIGHT, SIDES, _arm, _bend, _motion, _place, _spine, _turn

KINDS = {"standing": 0.3, "chair": 0.15, "floor": 0.1, "kneel": 0.12, "crouch": 0.11, "jump": 0.12, "lie": 0.1}
"""Kinds of postures and how often they are drawn."""


def _folded_leg(
    side: str,
    turn: np.ndarray,  # [1, 3, 3] of the pelvis
    flex: float = 0.0,  # of the hip, to the front
    spread: float = 5.0,  # of the hip, outwards
    outwards: float = 8.0,  # turn of the thigh about itself
    knee: float = 5.0,  # bend
    point: float = 0.0,  # of the foot, toes down
) -> dict[str, np.ndarray]:
    """Global rotations of one leg from joint angles in degrees, in terms that mirror."""
    thigh = _turn(2, spread) @ _turn(0, -flex) @ _turn(1, outwards)
    shin = thigh @ _turn(0, knee)
    foot = shin @ _turn(0, point)
    if side == "right":
        thigh, shin, foot = (_MIRROR @ R @ _MIRROR for R in (thigh, shin, foot))
    up = _UPRIGHT[side]
    return {f"{side}_hip": turn @ thigh @ up, f"{side}_knee": turn @ shin @ up, f"{side}_ankle": turn @ foot,
            f"{side}_foot": turn @ foot}  # fmt: skip


def _arms(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Both arms: in half of the postures before the body, in the others as in :mod:`.postures`."""
    u = rng.uniform
    out: dict[str, np.ndarray] = {}
    before = rng.random() < 0.4
    kind = str(rng.choice(ARMS))
    for side in SIDES:
        if before and rng.random() < 0.85:
            out |= _arm(side, down=u(55, 84), swing=u(0, 48), elbow=u(45, 130), twist=u(-15, 35), roll=u(-40, 60),
                        wrist=(u(-15, 25), u(-10, 10)))  # fmt: skip
        else:
            out |= _random_arm(rng, side, kind if rng.random() < 0.6 else str(rng.choice(ARMS)))
    return out


def _legs(rng: np.random.Generator, kind: str, turn: np.ndarray) -> dict[str, np.ndarray]:
    u = rng.uniform
    one = bool(rng.random() < 0.5)  # which leg differs
    legs: dict[str, np.ndarray] = {}
    style = rng.random()
    flex, knee, spread = u(70, 105), u(55, 115), u(0, 22)
    for side in SIDES:
        first = (side == "left") == one
        a = {"flex": flex + u(-6, 6), "spread": spread, "outwards": u(-5, 20), "knee": knee + u(-12, 12), "point": 0.0}
        if kind == "chair":
            a["point"] = a["flex"] - a["knee"] + u(-10, 15)  # soles near the floor
            if first and style < 0.3:  # legs crossed
                a |= {"flex": u(92, 112), "spread": u(-18, -6), "knee": u(65, 100), "point": u(0, 35)}
            elif first and style < 0.45:  # an ankle on the other knee
                a |= {"flex": u(80, 100), "spread": u(5, 20), "outwards": u(55, 80), "knee": u(85, 115)}
        elif kind == "floor":
            if style < 0.4:  # cross-legged
                a |= {"flex": u(75, 105), "spread": u(20, 45), "outwards": u(40, 70), "knee": u(105, 145),
                      "point": u(10, 35)}  # fmt: skip
            elif style < 0.7 or not first:  # legs stretched
                a |= {"flex": u(70, 95), "spread": u(0, 25), "knee": u(0, 40), "point": u(-10, 30)}
            else:
                a |= {"flex": u(90, 125), "spread": u(0, 30), "knee": u(90, 135), "point": u(0, 40)}
        elif kind == "kneel":
            if style < 0.4 and first:  # one foot before the body
                a |= {"flex": u(75, 105), "knee": u(75, 110), "spread": u(0, 20)}
                a["point"] = a["flex"] - a["knee"]
            elif style < 0.75:
                a |= {"flex": u(-12, 20), "knee": u(80, 110), "spread": u(0, 18), "point": u(10, 60)}
            else:  # on the heels
                a |= {"flex": u(70, 95), "knee": u(135, 152), "spread": u(0, 20), "point": u(30, 65)}
        elif kind == "crouch":
            a |= {"flex": u(85, 130), "knee": u(95, 145), "spread": u(5, 35)}
            a["point"] = np.clip(a["flex"] - a["knee"], -25, 30)
        else:  # jump, lie
            a |= {"flex": u(-25, 85), "knee": abs(rng.normal(0, 55)), "spread": u(-5, 35), "point": u(-10, 55)}
        legs |= _folded_leg(side, turn, **a)
    return legs


def varied_posture(rng: np.random.Generator) -> Motion:
    """One pose of :data:`KINDS`; its height above the floor is for the caller to set."""
    u, n = rng.uniform, rng.normal
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if kind == "standing":
        return _with_arms(rng, posture(rng))
    lean = _bend(forward=n(0, 6), left=n(0, 5))
    bow = {"chair": u(-8, 35), "floor": u(0, 40), "kneel": u(-10, 30), "crouch": u(10, 60), "jump": n(0, 18)}
    if kind == "crouch":
        lean = _bend(forward=u(0, 45), left=n(0, 5))
    elif kind == "lie":
        lean = _turn(1, u(0, 360)) @ _turn(0, rng.choice([-90.0, 90.0]) + n(0, 8)) @ _turn(1, n(0, 40))
    elif kind == "jump":
        lean = _bend(forward=n(0, 15), left=n(0, 12))
    turn = lean[None]
    upper = _spine(forward=bow.get(kind, n(0, 12)), left=n(0, 8), turn=n(0, 14)) | _arms(rng)
    upper |= {"neck": _bend(n(0, 8), n(0, 5), n(0, 12)), "head": _bend(n(2, 10), n(0, 7), n(0, 22))}
    pelvis = _place(0.0, HIP_HEIGHT, 0.0, np.zeros(1))
    return _motion(kind, pelvis, turn, _legs(rng, kind, turn), upper, loop=False)


def _with_arms(rng: np.random.Generator, motion: Motion) -> Motion:
    """A standing posture, half of the time with other arms."""
    if rng.random() < 0.5:
        return motion
    R = motion.rotations.clone()
    for name, turn in _arms(rng).items():
        R[0, motion.joint_names.index(name)] = torch.from_numpy(np.broadcast_to(turn, (3, 3)).copy()).float()
    return dataclasses.replace(motion, rotations=R)
