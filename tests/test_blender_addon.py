"""The Blender add-on: its package, its calls of dinar, and a photo imported with it where there is ``bpy``."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
BLENDER = os.environ.get("DINAR_BPY") or (sys.executable if find_spec("bpy") else None)
FILES = ("__init__.py", "blender_manifest.toml")


def test_the_package_has_what_an_extension_needs() -> None:
    rule = (ROOT / "Makefile").read_text().split("\naddon:")[1].split("\n\n")[0]
    assert all(f"blender/{name}" in rule for name in FILES)
    rows = [r.partition(" = ") for r in (ROOT / "blender" / FILES[1]).read_text().splitlines() if " = " in r]
    manifest = {k: ast.literal_eval(v) for k, _, v in rows}
    assert manifest["id"] == "dinar" and manifest["type"] == "add-on" and manifest["blender_version_min"] == "4.2.0"
    assert manifest["license"] == ["SPDX:Apache-2.0"] and len(manifest["tagline"]) <= 64
    assert not manifest["tagline"].endswith(".") and not manifest["files"].endswith(".")


@pytest.mark.skipif(BLENDER is None, reason="no Python with bpy: DINAR_BPY can name one")
def test_a_photo_becomes_a_rigged_avatar(tmp_path: Path) -> None:
    """With a dinar that has the avatar at once; and with one that finds nobody."""
    package = tmp_path / "dinar.zip"
    with zipfile.ZipFile(package, "w") as z:
        for name in FILES:
            z.write(ROOT / "blender" / name, name)
    program = tmp_path / "dinar"
    program.write_text(f"#!{sys.executable}\n" + FAKE.format(source=str(ROOT / "src")))
    program.chmod(0o755)
    for name in ("Ann.jpg", "nobody.jpg"):
        (tmp_path / name).write_bytes(b"photo")
        done = subprocess.run(
            [str(BLENDER), str(ROOT / "tests" / "blender_addon.py"), str(package), str(tmp_path / name),
             str(tmp_path / f"{name}.npz")],
            env={**os.environ, "DINAR": str(program)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    found = dict(np.load(tmp_path / "Ann.jpg.npz"))
    assert str(found["failure"]) == "" and str(found["name"]) == "Ann" and 4800 < int(found["faces"]) <= 5000
    assert list(found["meshes"]) == ["Ann mesh"]  # and no sphere as a shape of bones
    bones = list(found["bones"])
    assert {"hips", "upper_arm.L", "f_index.01.R", "shin.L"} <= set(bones) and len(bones) == 54
    arm, shin = (found["along"][bones.index(n)] for n in ("upper_arm.L", "shin.L"))
    assert arm[0] > 0.1 and arm[2] < -0.1 and shin[2] < -0.3  # bones point along the limbs; z is up
    assert {"idle", "walk", "wave"} <= set(found["actions"]) and bool(found["packed"]) and not len(found["missing"])
    assert "found nobody" in str(np.load(tmp_path / "nobody.jpg.npz")["failure"])


# Stands in for `create`, which takes a while; `export` is the real one.
FAKE = """
import sys
sys.path.insert(0, {source!r})
assert not any(k.startswith("PYTHON") for k in __import__("os").environ)
if sys.argv[1] == "create":
    if "nobody" in sys.argv[2]:
        sys.exit("dinar: found nobody in the photo")
    import numpy as np, torch
    from dinar.avatar import Avatar
    from dinar.body import load_body
    from dinar.scene import orbit
    b = load_body()
    v = b.v_template
    texture = np.full((64, 64, 3), 128, np.uint8)
    Avatar(b, torch.zeros(b.num_betas), torch.zeros_like(v), texture, texture[..., 0], torch.zeros(b.num_joints, 3),
           torch.zeros(3), orbit(v, 0, height=64, width=64)).save(sys.argv[4])
else:
    from dinar.cli import main
    main()
"""
