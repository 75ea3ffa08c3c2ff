"""Built-in motions and poses in canonical form, made from curves; motions are loops.

Angles are in degrees, at 30 frames a second. Legs are solved by inverse kinematics, so planted feet do not slide.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from .motion import Motion, rotation_between
from .skeleton import BODY, LEG, PARENT

FPS = 30
THIGH, SHIN, ANKLE, HIP_WIDTH, HIP_DROP = 0.41, 0.42, 0.08, 0.09, 0.02  # metres, half of the width
HIP_HEIGHT = HIP_DROP + THIGH + SHIN + ANKLE
SIDES = ("left", "right")
_MIRROR = np.diag([-1.0, 1, 1])
_UPRIGHT = {s: rotation_between(np.array(LEG[s]), np.array([0.0, -1, 0])) for s in SIDES}

Array = np.ndarray
Angle = float | np.ndarray  # degrees, one value or one a frame


def _turn(axis: int, degrees: Angle) -> Array:
    """Rotations [..., 3, 3] about x (0), y (1) or z (2)."""
    a = np.radians(np.asarray(degrees, np.float64))
    i, k = (axis + 1) % 3, (axis + 2) % 3
    R = np.zeros((*a.shape, 3, 3))
    R[..., axis, axis] = 1
    R[..., i, i] = R[..., k, k] = np.cos(a)
    R[..., k, i], R[..., i, k] = np.sin(a), -np.sin(a)
    return R


def _bend(forward: Angle = 0.0, left: Angle = 0.0, turn: Angle = 0.0) -> Array:
    """Rotation [..., 3, 3] of pelvis, spine, neck or head: bow forward, lean to the left, turn to the left."""
    return _turn(1, turn) @ _turn(2, -np.asarray(left)) @ _turn(0, forward)


def _spine(forward: Angle = 0.0, left: Angle = 0.0, turn: Angle = 0.0) -> dict[str, Array]:
    """:func:`_bend` in equal parts over the three joints of the spine."""
    third = _bend(*(np.asarray(a) / 3 for a in (forward, left, turn)))
    return {f"spine{i}": third for i in (1, 2, 3)}


def _arm(
    side: str,
    down: Angle = 76.0,  # from the T-pose; 90 hangs along the body
    swing: Angle = 0.0,  # of the hanging arm, to the front
    elbow: Angle = 12.0,  # bend
    twist: Angle = 0.0,  # of the upper arm about itself: the bent forearm of a raised arm turns up
    roll: Angle = 0.0,  # of the forearm about itself: the palm turns to the front
    shrug: Angle = 0.0,
    wrist: tuple[Angle, Angle] = (0.0, 0.0),  # to the palm, to the little finger
) -> dict[str, Array]:
    """Local rotations of one arm; the right arm is the mirror image of the left."""
    left = {
        "collar": _turn(2, shrug),
        "shoulder": _turn(0, -np.asarray(swing)) @ _turn(2, -np.asarray(down)) @ _turn(0, -np.asarray(twist)),
        "elbow": _turn(1, -np.asarray(elbow)) @ _turn(0, -np.asarray(roll)),
        "wrist": _turn(2, -np.asarray(wrist[0])) @ _turn(1, np.asarray(wrist[1])),
    }
    return {f"{side}_{n}": R if side == "left" else _MIRROR @ R @ _MIRROR for n, R in left.items()}


def _leg(
    side: str,
    pelvis: Array,  # [T, 3] metres
    turn: Array,  # [T, 3, 3] of the pelvis
    ankle: Array,  # [T, 3] metres
    yaw: Angle,  # heading of the foot, to the left
    pitch: Angle = 0.0,  # toes up
) -> dict[str, Array]:
    """Global rotations of hip, knee, ankle and toes: two bones reach for the ankle, the knee points with the foot."""
    x = 1.0 if side == "left" else -1.0
    hip = pelvis + turn @ np.array([x * HIP_WIDTH, -HIP_DROP, 0])
    d = ankle - hip
    reach = np.linalg.norm(d, axis=-1)
    far = np.minimum(reach, 0.9995 * (THIGH + SHIN))
    up = -d / reach[:, None]
    foot = np.broadcast_to(_turn(1, yaw), turn.shape)
    ahead = foot[:, :, 2] + 0.5 * turn[:, :, 2]
    across = np.cross(up, ahead)
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    frame = np.stack([across, up, np.cross(across, up)], -1)
    cos = lambda a, b, c: np.degrees(np.arccos(np.clip((a * a + b * b - c * c) / (2 * a * b), -1, 1)))  # noqa: E731
    at_hip, at_ankle = cos(THIGH, far, SHIN), cos(SHIN, far, THIGH)
    pitch = np.broadcast_to(np.asarray(pitch, float), reach.shape)
    sole = foot @ _turn(0, -pitch)
    return {
        f"{side}_hip": frame @ _turn(0, -at_hip) @ _UPRIGHT[side],
        f"{side}_knee": frame @ _turn(0, at_ankle) @ _UPRIGHT[side],
        f"{side}_ankle": sole,
        f"{side}_foot": sole @ _turn(0, np.clip(pitch, -50, 0)),  # toes stay flat when the heel lifts
    }


def _stand(
    pelvis: Array, turn: Array, width: float = 0.1, yaw: float = 8.0, step: tuple[float, float] = (0.0, 0.0)
) -> dict[str, Array]:
    """Both legs with the feet ``width`` metres from the middle, and ``step`` metres to the front (left, right)."""
    legs: dict[str, Array] = {}
    for side, x, z in zip(SIDES, (1.0, -1.0), step, strict=True):
        ankle = np.broadcast_to(np.array([x * width, ANKLE, z - 0.02]), pelvis.shape)
        legs |= _leg(side, pelvis, turn, ankle, x * yaw)
    return legs


def _motion(
    name: str,
    pelvis: Array,  # [T, 3] metres above the floor
    turn: Array,  # [T, 3, 3]
    legs: dict[str, Array],  # global
    upper: dict[str, Array],  # local
    loop: bool = True,
) -> Motion:
    T = len(pelvis)
    local = {"pelvis": np.broadcast_to(turn, (T, 3, 3)), **upper}
    for n, G in legs.items():
        parent = legs.get(PARENT[n], local["pelvis"])
        local[n] = np.swapaxes(np.broadcast_to(parent, (T, 3, 3)), 1, 2) @ G
    names = tuple(n for n in BODY if n in local)
    R = np.stack([np.broadcast_to(local[n], (T, 3, 3)) for n in names], 1)
    t = pelvis - np.array([pelvis[0, 0], HIP_HEIGHT, pelvis[0, 2]])
    return Motion(name, names, torch.from_numpy(R).float(), torch.from_numpy(t).float(), FPS, HIP_HEIGHT, loop)


def _phase(seconds: float) -> Array:
    """[T] in [0, 1), one loop."""
    n = round(seconds * FPS)
    return np.arange(n) / n


def _wave(phase: Array, cycles: int = 1, at: float = 0.0) -> Array:
    """[T] in [-1, 1], highest at the phase ``at``."""
    return np.cos(2 * np.pi * (cycles * phase - at))


def _cyclic(phase: Array, points: list[tuple[float, float]]) -> Array:
    """A smooth closed curve through (phase, value) points."""
    from scipy.interpolate import CubicSpline  # half a second to import

    x, y = np.array(points, float).T
    return CubicSpline([*x, x[0] + 1], [*y, y[0]], bc_type="periodic")((phase - x[0]) % 1 + x[0])


def _path(phase: Array, points: list[tuple[float, float]]) -> Array:
    """A curve through (phase, value) points that eases in and out and never overshoots."""
    from scipy.interpolate import PchipInterpolator

    x, y = np.array(points, float).T
    return PchipInterpolator(x, y)(phase)


def _place(x: Angle, y: Angle, z: Angle, like: Array) -> Array:
    return np.stack([np.broadcast_to(np.asarray(a, float), like.shape) for a in (x, y, z)], -1)


# --- motions --------------------------------------------------------------------------------------------------------

# Joint angles of level walking over a gait cycle that starts with the heel (clinical gait data, rounded).
_HIP = [(0, 22), (0.1, 19), (0.2, 12), (0.3, 3), (0.4, -6), (0.5, -14), (0.57, -12), (0.7, 9), (0.8, 21), (0.9, 25)]
_KNEE = [(0, 4), (0.07, 10), (0.15, 14), (0.25, 11), (0.35, 7), (0.42, 8), (0.5, 18), (0.6, 40), (0.72, 60),
         (0.82, 42), (0.92, 11)]  # fmt: skip
_SOLE = [(0, 18), (0.04, 10), (0.09, 0), (0.15, 0), (0.3, 0), (0.38, -3), (0.5, -22), (0.6, -55), (0.68, -52),
         (0.8, -14), (0.9, 12), (0.96, 19)]  # fmt: skip


def _walk() -> Motion:
    """Walking on the spot: 1.1 s for two steps."""
    p = _phase(1.1)
    turn = _bend(forward=2 + 0 * p, left=-3 * _wave(p, at=0.22), turn=-5 * _wave(p))
    legs: dict[str, Array] = {}
    low = []
    for side, x, q in ((SIDES[0], 1.0, p), (SIDES[1], -1.0, p + 0.5)):
        thigh, knee, sole = _cyclic(q, _HIP), _cyclic(q, _KNEE), _cyclic(q, _SOLE)
        inwards = _turn(2, -x * 2.5)  # the ankles pass close to each other
        upper, lower = inwards @ _turn(0, -thigh), inwards @ _turn(0, knee - thigh)
        foot = _turn(1, x * 6.0) @ _turn(0, -sole)
        toes = foot @ _turn(0, np.clip(sole, -40, 0))
        legs |= {f"{side}_hip": upper @ _UPRIGHT[side], f"{side}_knee": lower @ _UPRIGHT[side],
                 f"{side}_ankle": foot, f"{side}_foot": toes}  # fmt: skip
        ankle = turn @ np.array([x * HIP_WIDTH, -HIP_DROP, 0])
        ankle = ankle + upper @ np.array([0, -THIGH, 0]) + lower @ np.array([0, -SHIN, 0])
        low += [(ankle + foot @ np.array([0, -ANKLE, z]))[:, 1] for z in (-0.05, 0.12)]
    height = -np.min(low, 0)
    height = np.convolve(np.tile(height, 3), [0.25, 0.5, 0.25], "same")[len(p) : 2 * len(p)]
    pelvis = _place(0.018 * _wave(p, at=0.27), height, 0, p)
    upper_body = {
        **_spine(forward=1, left=2.5 * _wave(p, at=0.22), turn=10 * _wave(p)),
        "neck": _bend(turn=-2.5 * _wave(p)), "head": _bend(forward=-1 + 1.2 * _wave(p, 2, 0.1), turn=-2.5 * _wave(p)),
    }  # fmt: skip
    for side, s in (("left", -_wave(p, at=0.02)), ("right", _wave(p, at=0.02))):
        upper_body |= _arm(side, down=77, swing=2 + 21 * s, elbow=20 + 12 * s, roll=-8)
    return _motion("walk", pelvis, turn, legs, upper_body)


def _idle() -> Motion:
    """Standing and breathing; the weight moves slowly from one foot to the other."""
    p = _phase(6.0)
    breath, sway = _wave(p, 2, 0.4), _wave(p, 1, 0.25)
    turn = _bend(left=-1.5 * sway, turn=1.5 * sway)
    pelvis = _place(0.022 * sway, HIP_HEIGHT - 0.004 + 0.001 * breath, 0.004 * _wave(p), p)
    upper = {
        **_spine(forward=0.8 - 1.2 * breath, left=1.8 * sway, turn=-1.5 * sway),
        "neck": _bend(forward=2 + 0.5 * breath), "head": _bend(left=0.8 * sway, turn=2.5 * _wave(p, 1, 0.6)),
    }  # fmt: skip
    for side in SIDES:
        upper |= _arm(side, down=76 - 0.8 * breath, swing=3 + sway, elbow=16 + breath, shrug=1.2 * breath, roll=-6)
    return _motion("idle", pelvis, turn, _stand(pelvis, turn), upper)


def _wave_hand() -> Motion:
    """The right arm rises, waves and sinks."""
    p = _phase(4.5)
    up = _path(p, [(0, 0), (0.04, 0), (0.2, 1), (0.74, 1), (0.93, 0), (1, 0)])
    swing = _path(p, [(0, 0), (0.18, 0), (0.26, 1), (0.68, 1), (0.76, 0), (1, 0)]) * np.sin(2 * np.pi * 8 * (p - 0.2))
    turn = _bend(left=1.5 * up, turn=-2 * up)
    pelvis = _place(0.015 * up, HIP_HEIGHT - 0.004, 0, p)
    upper = {
        **_spine(forward=1, left=2.5 * up, turn=-1 * up), "neck": _bend(left=-1.5 * up),
        "head": _bend(forward=1, left=-3 * up + 1.2 * swing, turn=1 * up),
        **_arm("left", down=76, swing=3, elbow=16, roll=-6),
        **_arm("right", down=76 - 68 * up, swing=3 - 8 * up, elbow=16 + 64 * up + 20 * swing, twist=84 * up,
               roll=-6 + 10 * up, shrug=6 * up, wrist=(0.0, 8 * swing)),
    }  # fmt: skip
    return _motion("wave", pelvis, turn, _stand(pelvis, turn), upper)


def _look_around() -> Motion:
    """The head leads, chest and hips follow: to the left, to the right, up, and back."""
    p = _phase(7.0)
    yaw = _path(p, [(0, 0), (0.06, 0), (0.2, 1), (0.34, 1), (0.54, -1), (0.68, -1), (0.82, 0), (1, 0)])
    late = _path(p, [(0, 0), (0.09, 0), (0.24, 1), (0.37, 1), (0.58, -1), (0.71, -1), (0.87, 0), (1, 0)])
    nod = _path(p, [(0, 0), (0.2, 0), (0.27, 1), (0.36, 0), (0.54, 0), (0.61, -1), (0.7, 0), (1, 0)])
    turn = _bend(turn=6 * late, left=1.0 * late)
    pelvis = _place(0.02 * late, HIP_HEIGHT - 0.004, 0, p)
    upper = {
        **_spine(forward=1, turn=20 * late, left=-1.5 * late),
        "neck": _bend(turn=18 * yaw, forward=2 + 5 * nod), "head": _bend(turn=27 * yaw, forward=5 * nod),
    }  # fmt: skip
    for side, x in (("left", 1.0), ("right", -1.0)):
        upper |= _arm(side, down=76, swing=3 - 5 * x * late, elbow=16 + 2 * x * late, roll=-6)
    return _motion("look_around", pelvis, turn, _stand(pelvis, turn), upper)


def _turn_around() -> Motion:
    """A full turn to the left in twelve small steps."""
    steps, seconds = 12, 7.2
    p = _phase(seconds)
    legs: dict[str, Array] = {}
    yaw: dict[str, Array] = {}
    lift: dict[str, Array] = {}
    for side, first in (("left", 0), ("right", 1)):
        yaw[side], lift[side] = np.zeros_like(p), np.zeros_like(p)
        for k in range(first, steps, 2):  # each foot makes every other step, of a sixth of a turn
            f = np.clip((p * steps - k - 0.05) / 0.9, 0, 1)
            yaw[side] += (360 / (steps / 2)) * f * f * (3 - 2 * f)
            lift[side] += np.sin(np.pi * f) ** 2
    heading = 360 * p + 30 - 15 + 4 * np.sin(2 * np.pi * (steps * p - 0.1))  # between the feet, never stopping
    heading -= 3 * np.sin(2 * np.pi * steps / 2 * p)
    weight = _wave(p, steps // 2, 0.25)  # on the right foot while the left one steps
    turn = _turn(1, heading) @ _bend(forward=1 + 0 * p, left=1.5 * weight)
    sway = np.einsum("tij,j->ti", _turn(1, heading), np.array([1.0, 0, 0])) * (-0.025 * weight)[:, None]
    pelvis = _place(0, HIP_HEIGHT - 0.012 + 0.004 * _wave(p, steps, 0.5), 0, p) + sway
    for side, x in (("left", 1.0), ("right", -1.0)):
        at = _turn(1, yaw[side]) @ np.array([x * 0.1, ANKLE, -0.02])
        at[:, 1] += 0.05 * lift[side]
        legs |= _leg(side, pelvis, turn, at, yaw[side] + x * 7, pitch=-14 * lift[side])
    upper = {
        **_spine(forward=1, left=-1.5 * weight, turn=5), "neck": _bend(turn=4), "head": _bend(turn=5),
        **_arm("left", down=74, swing=2 - 5 * weight, elbow=18, roll=-6),
        **_arm("right", down=74, swing=4 + 5 * weight, elbow=18, roll=-6),
    }  # fmt: skip
    return _motion("turn", pelvis, turn, legs, upper)


def _dance() -> Motion:
    """Eight beats at 120 a minute: knees bounce on each beat, hips sway over two, the arms alternate."""
    p = _phase(4.0)
    beat = np.abs(np.sin(np.pi * 8 * p)) ** 1.3  # 0 on the beat: down
    sway = _cyclic(p, [(i / 8, (1 if i % 2 else -1) * (1 if i not in (3, 7) else 1.25)) for i in range(8)])
    half = _wave(p, 1, 0.2)
    turn = _bend(forward=5 - 3 * beat, left=-7 * sway, turn=9 * np.roll(sway, 2) + 6 * half)
    pelvis = _place(0.055 * sway, HIP_HEIGHT - 0.062 + 0.042 * beat, -0.01 + 0.015 * half, p)
    legs: dict[str, Array] = {}
    for side, x in (("left", 1.0), ("right", -1.0)):
        free = np.clip(-x * sway - 0.1, 0, 1) ** 1.5  # the unweighted heel comes up
        sole = -22 * free
        heel = 0.12 * np.sin(np.radians(-sole))
        ankle = _place(x * 0.15, ANKLE + heel, -0.02 + 0.12 * (1 - np.cos(np.radians(sole))), p)
        legs |= _leg(side, pelvis, turn, ankle, x * 14, pitch=sole)
    upper = {
        **_spine(forward=2 + 3 * (1 - beat), left=9 * sway, turn=-16 * np.roll(sway, 3) - 5 * half),
        "neck": _bend(forward=4 * (1 - beat), left=-2 * sway),
        "head": _bend(forward=5 * (1 - beat) - 3, left=-4 * sway),
    }  # fmt: skip
    raised = _path(p, [(0, 0.5), (0.1, 1), (0.4, 1), (0.6, 0), (0.9, 0), (1, 0.5)])  # whose turn: left 1, right 0
    for side, x, r in (("left", 1.0, raised), ("right", -1.0, 1 - raised)):
        upper |= _arm(
            side, down=66 - 42 * r - 6 * beat, swing=10 + 12 * x * np.roll(sway, 2) * (1 - r),
            elbow=62 + 26 * r + 12 * (1 - beat), twist=18 + 55 * r + 8 * x * sway, roll=-12 + 10 * r,
            shrug=8 * r + 3 * (1 - beat), wrist=(6 * (1 - beat), 5 * x * sway),
        )  # fmt: skip
    return _motion("dance", pelvis, turn, legs, upper)


# --- poses ----------------------------------------------------------------------------------------------------------


def _still(name: str, upper: dict[str, Array], left: float = 0.0, drop: float = 0.001, lean: Array | None = None,
           **feet: Any) -> Motion:  # fmt: skip
    one = np.zeros(1)
    turn = np.broadcast_to(np.eye(3) if lean is None else lean, (1, 3, 3))
    pelvis = _place(left, HIP_HEIGHT - drop, 0, one)
    return _motion(name, pelvis, turn, _stand(pelvis, turn, **feet), upper, loop=False)


def _both(**angles: Any) -> dict[str, Array]:
    return {**_arm("left", **angles), **_arm("right", **angles)}


def _t_pose() -> Motion:
    R = torch.eye(3).repeat(1, len(BODY), 1, 1)
    return Motion("t_pose", BODY, R, torch.zeros(1, 3), FPS, HIP_HEIGHT)


def _contrapposto() -> Motion:
    """The weight on the left leg, the right one relaxed."""
    upper = {**_spine(left=7, turn=3), "neck": _bend(left=-2), "head": _bend(left=-3, turn=8, forward=2),
             **_arm("left", down=76, swing=2, elbow=14), **_arm("right", down=70, swing=6, elbow=28)}  # fmt: skip
    return _still("contrapposto", upper, left=0.05, drop=0.02, lean=_bend(left=-5, turn=-4), step=(0.0, 0.1))


MOTIONS: dict[str, Callable[[], Motion]] = {
    "idle": _idle,
    "walk": _walk,
    "wave": _wave_hand,
    "turn": _turn_around,
    "look_around": _look_around,
    "dance": _dance,
    "t_pose": _t_pose,
    "a_pose": lambda: _still("a_pose", _both(down=45.0, elbow=4.0)),
    "stand": lambda: _still("stand", _both(down=77.0, swing=3.0, elbow=14.0, roll=-6.0)),
    "hands_on_hips": lambda: _still(
        "hands_on_hips", _both(down=48.0, swing=-22.0, elbow=92.0, twist=-62.0, roll=-20.0, wrist=(20.0, 0.0))
    ),
    "arms_up": lambda: _still("arms_up", _both(down=-58.0, elbow=14.0, twist=40.0, shrug=14.0)),
    "contrapposto": _contrapposto,
}


@cache
def motion(name: str) -> Motion:
    """A built-in motion or pose by its name (a key of :data:`MOTIONS`)."""
    return MOTIONS[name]()
