"""Spring bones of VRM 1.0: chains of joints that swing by themselves, and what they do not enter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ..body.chains import Chain
from .rig import Rig

DRAG = 0.4  # share of their speed that joints lose in a frame
HIT = 0.02  # metres: radius of a joint of a chain
GIRTH = 0.6  # quantile of the distances of a limb's skin from its bone that is the radius of its capsule


@dataclass
class Capsule:
    """What chains do not enter. In the axes of its bone, metres."""

    bone: int
    start: np.ndarray  # [3]
    end: np.ndarray  # [3]
    radius: float


@dataclass
class Spring:
    """A chain and its bones in a file, of which the last is its end."""

    chain: Chain
    bones: list[int]
    capsules: list[Capsule]


def springs_of(rig: Rig, betas: Tensor) -> list[Spring]:
    """The chains that have ends among the bones."""
    names = [n for n, _, _ in rig.bones]
    chains = [c for c in rig.body.chains if f"{c.name}_end" in names]
    if not chains:
        return []
    bare = (rig.body.bare or rig.body).to("cpu")
    skin = bare.rest(betas[None])[0][0].double().numpy()
    limb = bare.weights.numpy().argmax(1)
    capsules = {n: _capsule(rig, n, skin, limb) for c in chains for n in c.colliders}
    bones = [[names.index(n) for n in (*c.joint_names, f"{c.name}_end")] for c in chains]
    return [Spring(c, b, [capsules[n] for n in c.colliders]) for c, b in zip(chains, bones, strict=True)]


def _capsule(rig: Rig, name: str, skin: np.ndarray, limb: np.ndarray) -> Capsule:
    """Around the bone of a joint; around the line between the hip joints for the pelvis."""
    j = rig.body.joint(name)
    at = rig.joints.double().numpy()
    start, end = at[j], rig.tips[j]
    if name == "pelvis":
        start, end = (at[rig.body.joint(n)] for n in ("left_hip", "right_hip"))
    along = end - start
    own = skin[limb == j]
    share = (own - start) @ along / (along @ along)
    far = np.linalg.norm(own - start - share.clip(0, 1)[:, None] * along, axis=1)
    beside = (share > 0) & (share < 1)
    radius = float(np.quantile(far[beside] if beside.any() else far, GIRTH))
    A = np.linalg.inv(rig.rest[j]) @ rig.stance[j]
    start, end = (A[:3, :3] @ p + A[:3, 3] for p in (start, end))
    return Capsule(j, start, end, radius)


def spring_extension(springs: list[Spring]) -> dict[str, Any]:
    """The ``VRMC_springBone`` object."""
    capsules: list[Capsule] = []
    groups: dict[tuple[str, ...], list[int]] = {}
    for s in springs:
        if s.chain.colliders not in groups:
            groups[s.chain.colliders] = [len(capsules) + k for k in range(len(s.capsules))]
            capsules += s.capsules
    order = list(groups)

    def joints(s: Spring) -> list[dict[str, Any]]:
        rows = zip(s.bones, s.chain.stiffness, s.chain.gravity, strict=False)
        return [
            {"node": b, "hitRadius": HIT, "stiffness": stiffness, "gravityPower": gravity,
             "gravityDir": [0.0, -1.0, 0.0], "dragForce": DRAG} for b, stiffness, gravity in rows
        ] + [{"node": s.bones[-1]}]  # fmt: skip

    def shape(c: Capsule) -> dict[str, Any]:
        return {"capsule": {"offset": c.start.tolist(), "tail": c.end.tolist(), "radius": c.radius}}

    return {
        "specVersion": "1.0",
        "colliders": [{"node": c.bone, "shape": shape(c)} for c in capsules],
        "colliderGroups": [{"name": " ".join(names), "colliders": own} for names, own in groups.items()],
        "springs": [
            {
                "name": s.chain.name,
                "joints": joints(s),
                "colliderGroups": [order.index(s.chain.colliders)],
            }
            for s in springs
        ],
    }
