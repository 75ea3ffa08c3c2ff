"""python read_fbx.py FILE CLIP SECONDS OUT.npz: what ufbx reads from an FBX file; vertices skinned here."""

import os
import sys

import numpy as np
import ufbx
from scipy.spatial.transform import Rotation

path, clip, seconds, out = sys.argv[1:]
keep = []  # version 0.0.5 crashes when its objects are collected


def kept(x):
    keep.append(x)
    return x


def matrix(m):
    columns = [kept(c) for c in (m.c0, m.c1, m.c2, m.c3)]
    return np.vstack([np.array([(c.x, c.y, c.z) for c in columns]).T, [0, 0, 0, 1]])


def items(values):
    return [kept(values[k]) for k in range(len(kept(values)))]


scene = kept(ufbx.load_file(path))
stacks = items(scene.anim_stacks)
anim = kept(next(s for s in stacks if s.name == clip).anim)
nodes = items(scene.nodes)
index = {n.name: k for k, n in enumerate(nodes)}
world = []
for n in nodes:  # parents come first
    t = kept(ufbx.evaluate_transform(anim, n, float(seconds)))
    r, p, s = kept(t.rotation), kept(t.translation), kept(t.scale)
    local = np.eye(4)
    local[:3, :3] = Rotation.from_quat([r.x, r.y, r.z, r.w]).as_matrix() * [s.x, s.y, s.z]
    local[:3, 3] = p.x, p.y, p.z
    parent = kept(n.parent)
    world.append(local if parent is None else world[index[parent.name]] @ local)
mesh = items(scene.meshes)[0]
rest = np.asarray(kept(mesh.vertices)).copy()
transform, total = np.zeros((len(rest), 4, 4)), np.zeros(len(rest))
for cluster in items(items(scene.skin_deformers)[0].clusters):
    bone = world[index[kept(cluster.bone_node).name]]
    rows, weights = np.asarray(kept(cluster.vertices)), np.asarray(kept(cluster.weights))
    transform[rows] += weights[:, None, None] * (bone @ matrix(kept(cluster.geometry_to_bone)))
    total[rows] += weights
channels = items(scene.blend_channels)
blend = [kept(ufbx.evaluate_blend_weight(anim, c, float(seconds))) for c in channels]
uv, settings = kept(mesh.vertex_uv), kept(scene.settings)
axes = kept(settings.axes)
bones = [k for k, n in enumerate(nodes) if n.name in {kept(n.name) for n in nodes if kept(n.bone) is not None}]
np.savez(
    out,
    bones=[nodes[k].name for k in bones],
    parents=[kept(nodes[k].parent).name for k in bones],
    joints=[world[k][:3, 3] for k in bones],
    rest=rest,
    vertices=(transform @ np.append(rest, np.ones((len(rest), 1)), 1)[..., None])[:, :3, 0],
    total=total,
    uv=np.asarray(kept(uv.values)),
    corners=np.asarray(kept(uv.indices)),
    faces=np.asarray(kept(mesh.vertex_indices)),
    channels=[c.name for c in channels],
    blend=blend,
    stacks=[s.name for s in stacks],
    ends=[s.time_end for s in stacks],
    texture=np.frombuffer(bytes(kept(items(scene.textures)[0].content)), np.uint8),
    unit=settings.unit_meters,
    up=int(axes.up),
    warnings=len(kept(kept(scene.metadata).warnings)),
)
os._exit(0)
