"""Blender add-on: pick a photo (or an .avatar file), get the rigged avatar into the scene.

It runs the installed ``dinar`` as a process of its own and imports the GLB that it writes. Nothing is downloaded here.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

PHOTOS = "*.jpg;*.jpeg;*.png;*.webp;*.heic;*.avif;*.tif;*.tiff;*.bmp;*.avatar"
MOTIONS = ("idle", "walk", "wave")
WAIT = 0.25  # seconds between looks at the process


class DinarPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__ or __name__

    command: StringProperty(
        name="dinar",
        description="Program file of the installed dinar. Empty: the one on the PATH",
        subtype="FILE_PATH",
    )

    def draw(self, context):
        self.layout.prop(self, "command")


def find_command(context):
    """Path of the installed program, or None."""
    addon = context.preferences.addons.get(__package__ or __name__)
    named = bpy.path.abspath(addon.preferences.command) if addon and addon.preferences else ""
    return shutil.which(named or os.environ.get("DINAR", "") or "dinar")


def steps(command, source, folder, size, clips):
    """The calls of dinar, and the GLB file that they leave in the folder."""
    avatar, calls = source, []
    if Path(source).suffix.lower() != ".avatar":
        avatar = os.path.join(folder, "me.avatar")
        calls.append([command, "create", source, "-o", avatar])
    model = os.path.join(folder, "me.glb")
    motions = ["--motion", *MOTIONS] if clips else ["--motion", "idle"]
    calls.append([command, "export", avatar, "-o", model, "--for", "blender", "--size", size, *motions])
    return calls, model


def start(call, log):
    """Start a call. Blender's own Python settings are kept from it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.Popen(call, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment)


def last_line(path):
    lines = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def place(model, name):
    """Import the file and select the avatar's armature."""
    before = set(bpy.data.objects)
    options = {"disable_bone_shape": True}  # else Blender adds a sphere as the shape of all bones
    known = bpy.ops.import_scene.gltf.get_rna_type().properties.keys()
    bpy.ops.import_scene.gltf(
        filepath=model, bone_heuristic="BLENDER", **{k: v for k, v in options.items() if k in known}
    )
    new = [o for o in bpy.data.objects if o not in before]
    armature = next(o for o in new if o.type == "ARMATURE")
    armature.name = armature.data.name = name
    for o in new:
        if o.type == "MESH" and o.parent == armature:
            o.name = o.data.name = f"{name} mesh"
        if bpy.context.scene in o.users_scene:
            o.select_set(o == armature)
    bpy.context.view_layer.objects.active = armature
    return armature


class DINAR_OT_import_photo(bpy.types.Operator, ImportHelper):
    """Make a rigged avatar from a photo of one whole person"""

    bl_idname = "import_scene.dinar"
    bl_label = "Avatar from Photo"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender reads it)

    filter_glob: StringProperty(default=PHOTOS, options={"HIDDEN"})
    size: EnumProperty(
        name="Size",
        description="Triangles and texture of the avatar",
        items=[
            ("small", "Small", "5,000 triangles, texture of 512 pixels"),
            ("medium", "Medium", "15,000 triangles, 1024 pixels"),
            ("full", "Full", "All triangles, up to 2048 pixels"),
        ],
        default="full",
    )
    clips: BoolProperty(name="Motions", description="Also import the motions walk and wave", default=True)

    def execute(self, context):
        command = find_command(context)
        if command is None:
            self.report({"ERROR"}, "dinar was not found: install it with pip, then name its file in the preferences")
            return {"CANCELLED"}
        if not os.path.isfile(self.filepath):
            self.report({"ERROR"}, f"There is no file {self.filepath}")
            return {"CANCELLED"}
        self.folder = tempfile.mkdtemp(prefix="dinar-blender-")
        self.log = os.path.join(self.folder, "log.txt")
        self.calls, self.model = steps(command, self.filepath, self.folder, self.size, self.clips)
        self.process = self.timer = None
        if bpy.app.background or context.window is None:
            while not self.is_done(context):
                self.process.wait()
            return self.finish(context)
        self.timer = context.window_manager.event_timer_add(WAIT, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if event.type == "ESC":
            self.process.terminate()
            self.process.wait()
            self.clean(context)
            self.report({"INFO"}, "dinar was stopped")
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        if not self.is_done(context):
            context.workspace.status_text_set(f"dinar (Esc stops it): {last_line(self.log)}")
            return {"RUNNING_MODAL"}
        return self.finish(context)

    def is_done(self, context):
        """Start the next call when the one before is done; True after the last, or after a failure."""
        if self.process is not None and self.process.poll() is None:
            return False
        if self.process is not None and (self.process.returncode or not self.calls):
            return True
        with open(self.log, "wb") as log:
            self.process = start(self.calls.pop(0), log)
        return False

    def finish(self, context):
        try:
            if self.process.returncode:
                self.report({"ERROR"}, last_line(self.log) or f"dinar ended with {self.process.returncode}")
                return {"CANCELLED"}
            place(self.model, Path(self.filepath).stem)
            return {"FINISHED"}
        finally:
            self.clean(context)

    def clean(self, context):
        if self.timer is not None:
            context.window_manager.event_timer_remove(self.timer)
            context.workspace.status_text_set(None)
        shutil.rmtree(self.folder, ignore_errors=True)


def menu(self, context):
    self.layout.operator(DINAR_OT_import_photo.bl_idname, text="Avatar from Photo (dinar)")


CLASSES = (DinarPreferences, DINAR_OT_import_photo)


def register():
    for c in CLASSES:
        bpy.utils.register_class(c)
    bpy.types.TOPBAR_MT_file_import.append(menu)


def unregister():
    bpy.types.TOPBAR_MT_file_import.remove(menu)
    for c in reversed(CLASSES):
        bpy.utils.unregister_class(c)
