"""python blender.py FILE CLIP FRAME OUT.npz: what Blender (the ``bpy`` wheel) imports, in metres, z up."""

import os
import sys

import bpy
import numpy as np

path, clip, frame, out = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.context.scene.render.fps = 30  # of the clips: a frame of the file is one of the scene
gltf = bpy.ops.import_scene.gltf
read = {".fbx": bpy.ops.import_scene.fbx, ".glb": gltf, ".vrm": gltf, ".usdz": bpy.ops.wm.usd_import}
read[os.path.splitext(path)[1]](filepath=path)
armature = next(o for o in bpy.data.objects if o.type == "ARMATURE")
mesh = next(o for o in bpy.data.objects if o.type == "MESH" and o.find_armature() == armature)
action = next(a for a in bpy.data.actions if a.name.split("|")[-1] == clip and not a.name.startswith("Key"))
armature.animation_data_create().action = action
armature.animation_data.action_slot = action.slots[0]
bpy.context.scene.frame_set(int(frame))
posed = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
world = armature.matrix_world
np.savez(
    out,
    bones=[b.name for b in armature.pose.bones],
    joints=[list(world @ b.head) for b in armature.pose.bones],
    rest=[list(world @ b.head_local) for b in armature.data.bones],
    vertices=[list(posed.matrix_world @ v.co) for v in posed.data.vertices],
    shapes=[k.name for k in mesh.data.shape_keys.key_blocks] if mesh.data.shape_keys else [],
    pictures=[list(i.size) for i in bpy.data.images if i.size[0]],
    range=list(action.frame_range),
    scale=list(world.to_scale()),
    turn=list(world.to_euler()),
)
