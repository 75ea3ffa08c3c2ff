"""Every example runs and writes the files that it names."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from dinar.avatar import Avatar
from dinar.export import write_video
from dinar.scene.textured import over, to_uint8

FOLDER = Path(__file__).parents[1] / "examples"
# The argument that the test gives to each example, and the files that the example writes.
EXAMPLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "01_create": ("", ("me.avatar", "me.preview.png")),
    "02_several_photos": ("", ("both.avatar",)),
    "03_own_mask": ("", ("own_mask.avatar", "fit.npz")),
    "04_render": ("given.avatar", ("views.png",)),
    "05_own_motion": ("given.avatar", ("motion.mp4",)),
    "06_motion_by_hand": ("given.avatar", ("flap.gif",)),
    "07_video": ("given.avatar", ("turntable.mp4", "walk/0000.png")),
    "08_export": ("given.avatar", ("me.glb", "me.vrm", "me.fbx")),
    "09_batch": ("", ("avatars/demo.avatar", "avatars/demo.preview.png")),
    "10_parts": ("given.avatar", ("texture.png", "seen.png", "mesh.obj")),
    "11_generated_people": ("", ("generated.png",)),
    "12_evaluate": ("", ("person.png",)),
    "13_train": ("given.mp4", ("run/weights/encoder/model.safetensors",)),
}
SLOW = ("01_create", "02_several_photos", "03_own_mask", "09_batch", "12_evaluate", "13_train")


def test_the_readme_is_short_and_lists_all_examples() -> None:
    assert sorted(p.stem for p in FOLDER.glob("[0-9]*.py")) == list(EXAMPLES)
    readme = (FOLDER.parent / "README.md").read_text()
    assert [name for name in EXAMPLES if f"(examples/{name}.py)" not in readme] == []
    assert len(readme.split()) <= 900


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in EXAMPLES])
def test_example(name: str, avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, files = EXAMPLES[name]
    monkeypatch.chdir(tmp_path)
    if given == "given.avatar":
        avatar.save(given)
    if given == "given.mp4":
        write_video(given, (to_uint8(over(f)) for f in avatar.turntable(frames=3)), fps=3)
    monkeypatch.setattr(sys, "argv", [name, *([given] if given else [])])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    for file in files:
        assert (tmp_path / file).stat().st_size > 1000, file
