"""A second reader and skinner of GLB files: pygltflib, numpy and scipy, without any code of dinar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pygltflib
from scipy.spatial.transform import Rotation

DTYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Read:
    """The parts of glTF that a skinned, animated mesh needs, read without any code of dinar."""

    def __init__(self, path: Path) -> None:
        self.gltf = pygltflib.GLTF2.load_binary(str(path))
        self.blob = self.gltf.binary_blob()
        self.skin, self.mesh = self.gltf.skins[0], self.gltf.meshes[0]
        self.prim = self.mesh.primitives[0]

    def view(self, i: int, dtype: str, width: int, count: int) -> np.ndarray:
        start = self.gltf.bufferViews[i].byteOffset
        return np.frombuffer(self.blob, dtype, width * count, start).reshape(count, width)

    def array(self, i: int) -> np.ndarray:
        a = self.gltf.accessors[i]
        dtype, width = DTYPES[a.componentType], WIDTHS[a.type]
        if a.bufferView is not None:
            out = self.view(a.bufferView, dtype, width, a.count).copy()
        else:
            out = np.zeros((a.count, width), dtype)
        if a.sparse:
            at = self.view(a.sparse.indices.bufferView, DTYPES[a.sparse.indices.componentType], 1, a.sparse.count)
            out[at[:, 0]] = self.view(a.sparse.values.bufferView, dtype, width, a.sparse.count)
        if a.min:
            assert np.allclose(out.min(0), a.min) and np.allclose(out.max(0), a.max)
        return out

    def attribute(self, name: str) -> np.ndarray:
        return self.array(getattr(self.prim.attributes, name))

    def skinned(
        self, clip: int | None = None, seconds: float = 0, turned: dict[str, list] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """World positions of vertices [V, 3] and joints [J, 3] at a key of a clip, or with rotations of named nodes."""
        nodes = [dict(t=n.translation, r=n.rotation, s=n.scale, w=None) for n in self.gltf.nodes]
        if clip is not None:
            animation = self.gltf.animations[clip]
            for c in animation.channels:
                sampler = animation.samplers[c.sampler]
                keys, values = self.array(sampler.input)[:, 0], self.array(sampler.output)
                k = int(np.abs(keys - seconds).argmin())
                assert len(keys) == 2 or np.isclose(keys[k], seconds)
                nodes[c.target.node][c.target.path[0]] = values.reshape(len(keys), -1)[k]
        for n in turned or {}:
            nodes[next(i for i, node in enumerate(self.gltf.nodes) if node.name == n)]["r"] = turned[n]
        world: dict[int, np.ndarray] = {}

        def visit(i: int, parent: np.ndarray) -> None:
            m = np.eye(4)
            m[:3, 3] = nodes[i]["t"] if nodes[i]["t"] is not None else 0
            m[:3, :3] = Rotation.from_quat(nodes[i]["r"] if nodes[i]["r"] is not None else [0, 0, 0, 1]).as_matrix()
            m[:3, :3] *= nodes[i]["s"] if nodes[i]["s"] is not None else 1
            world[i] = parent @ m
            for c in self.gltf.nodes[i].children or []:
                visit(c, world[i])

        for root in self.gltf.scenes[0].nodes:
            visit(root, np.eye(4))
        v = self.attribute("POSITION").astype(float)
        for n in nodes:
            if n["w"] is not None:
                for target, w in zip(self.prim.targets, n["w"], strict=True):
                    v += w * self.array(target["POSITION"])
        inverse = self.array(self.skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
        joint = np.stack([world[j] for j in self.skin.joints])
        A = (joint @ inverse)[self.attribute("JOINTS_0")]  # [V, 4, 4, 4]
        A = (A * self.attribute("WEIGHTS_0")[..., None, None]).sum(1)
        return (A[:, :3, :3] @ v[..., None])[..., 0] + A[:, :3, 3], joint[:, :3, 3]
