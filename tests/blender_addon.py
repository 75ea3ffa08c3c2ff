"""python blender_addon.py ZIP PHOTO OUT.npz: load the add-on into Blender (``bpy``) and import a photo with it."""

import sys
import zipfile
from pathlib import Path

import bpy
import numpy as np

package, photo, out = sys.argv[1:]
folder = Path(out + ".addon")
with zipfile.ZipFile(package) as z:
    z.extractall(folder / "dinar_addon")
sys.path.insert(0, str(folder))
import dinar_addon  # noqa: E402

bpy.ops.wm.read_factory_settings(use_empty=True)
dinar_addon.register()
found: dict = {"failure": ""}
try:
    found["result"] = list(bpy.ops.import_scene.dinar(filepath=photo, size="small"))
except RuntimeError as e:  # what the operator reported
    found["failure"] = str(e)
if not found["failure"]:
    armature = bpy.context.view_layer.objects.active
    mesh = next(o for o in bpy.data.objects if o.type == "MESH" and o.find_armature() == armature)
    found |= {
        "name": armature.name,
        "bones": [b.name for b in armature.data.bones],
        "along": [list(b.tail_local - b.head_local) for b in armature.data.bones],
        "meshes": [o.name for o in bpy.data.objects if o.type == "MESH"],
        "faces": len(mesh.data.polygons),
        "actions": [a.name for a in bpy.data.actions],
        "packed": all(i.packed_file for i in bpy.data.images if i.size[0]),
        "missing": [i.name for i in bpy.data.images if i.size[0] == 0],
    }
dinar_addon.unregister()
np.savez(out, **found)
