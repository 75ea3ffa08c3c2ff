"""The viewer's page: self-contained, the photo's camera, nothing of a name is code, and it runs in Chromium."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from browser import MINUTES, browse, needs_browser
from dinar.avatar import Avatar
from dinar.body.visemes import VISEMES
from dinar.cli import main
from dinar.errors import DinarError
from dinar.export import Clip, build_model
from dinar.photo.image import read_photo
from dinar.scene import Camera
from dinar.web.local import Served, is_local, page_server
from dinar.web.neural import neural_file
from dinar.web.page import MODULES, PAGE, asset, fill, photo_view, viewer_page, worker_files


@pytest.fixture(scope="module")
def page(avatar: Avatar, demo_photo: Path) -> str:
    return viewer_page(avatar, "</script><b>me", demo_photo)


def test_page_names_no_address_and_no_code_of_a_name(page: str) -> None:
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "connect-src data: blob:;" in page and "</script><b>me" not in page
    about = json.loads(page.split('id="about">')[1].split("</script>")[0])
    assert about["name"] == "</script><b>me" and set(about["photo"]) >= {"K", "hips", "src"}
    assert len(page) < 12 << 20


def test_modules_take_only_what_three_exports() -> None:
    exported = set(re.findall(r"(?:[\w$]+ as )?(\w+)", asset("three.min.js").decode().rsplit("export{", 1)[1]))
    for name in MODULES.values():
        text = asset(name).decode()
        for names, source in re.findall(r"import \{([^}]*)\} from '([^']+)'", text):
            assert source in MODULES
            assert source != "three" or {n.strip() for n in names.split(",")} - {""} <= exported
    assert "MIT" in (PAGE / "LICENSE-three.txt").read_text("utf-8")


def test_photo_view_is_the_camera_of_the_part_that_is_shown(avatar: Avatar, demo_photo: Path) -> None:
    rgb = read_photo(demo_photo).rgb
    seen, picture = photo_view(avatar, rgb)
    assert picture.shape == (seen["height"], seen["width"], 3)
    v = avatar.vertices()
    at = avatar.camera.to_camera(v) @ torch.tensor(seen["K"]).T
    xy = (at[:, :2] / at[:, 2:]).numpy()
    assert xy.min() >= 0 and (xy < picture.shape[1::-1]).all()  # the whole person is in the picture
    whole = avatar.camera.resized(*rgb.shape[:2]).project(v)[0].numpy()
    shift = whole - xy / ((xy[:, 1].max() - xy[:, 1].min()) / (whole[:, 1].max() - whole[:, 1].min()))
    assert np.ptp(shift, axis=0).max() < 0.5  # pixels: one crop for all vertices
    with pytest.raises(DinarError, match="not the photo of this avatar"):
        photo_view(avatar, np.zeros((100, 300, 3), np.uint8))


def test_local_server_shows_one_page_to_this_computer() -> None:
    server = page_server("<p>me")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        assert urllib.request.urlopen(address + "/").read() == b"<p>me"
        for path, host in (("/../me", "127.0.0.1"), ("/", "evil.example"), ("/", "127.0.0.1.evil.example:80")):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(urllib.request.Request(address + path, headers={"Host": host}))
    finally:
        server.shutdown()
        server.server_close()
    assert is_local("localhost:8000") and is_local("[::1]") and not is_local("") and not is_local("localhost.evil:1")


def test_template_values_are_not_searched(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("<{{a}}|{{b}}>")
    assert fill(tmp_path / "t", {"a": "{{b}}", "b": "x"}) == "<{{b}}|x>"


@pytest.mark.parametrize("name", ["me.txt", "me.avatar"])
def test_html_is_not_written_over_other_files(avatar: Avatar, tmp_path: Path, capsys, name: str) -> None:
    avatar.save(tmp_path / "me.avatar")
    with pytest.raises(SystemExit):
        main(["view", str(tmp_path / "me.avatar"), "--html", str(tmp_path / name)])
    assert "cannot write" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["me.avatar"]


PICTURE = """(async () => {
  const v = dinar.viewer;
  v.setPaused(true);
  v.play('photo', 0);
  await new Promise((later) => setTimeout(later, 500));
  await v.setNeural('/me.neural');
  const { x, y, width, height, rgba } = await v.neuralPicture(128, 128);
  return { x, y, width, height, rgba: [...rgba], provider: v.provider, ...v.camera };
})()"""


@needs_browser
@pytest.mark.parametrize("provider", ["wasm", pytest.param("webgpu", marks=MINUTES)])
def test_neural_picture_in_chromium_is_that_of_python(neural_avatar: Avatar, tmp_path: Path, provider: str) -> None:
    """128² pixels, twice the network's: its layers are enlarged. The camera is that of the page."""
    a, n = neural_avatar, 128
    file = neural_file(a)
    assert file is not None and neural_file(a.replace(neural=None)) is None
    server = page_server(viewer_page(a, "me", None, "/me.neural"), 0,
                         {"/me.neural": Served("", file), **worker_files("/page/")})  # fmt: skip
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        steps = [{"wait": "window.dinar"}, {"evaluate": PICTURE}]
        found = browse(tmp_path, f"http://127.0.0.1:{server.server_address[1]}/", steps, width=600, height=600,
                       webgpu=provider == "webgpu")  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
    assert not found["messages"]
    seen = found["results"][0]
    assert seen["provider"] == provider
    P, T = (np.array(seen[k]).reshape(4, 4).T for k in ("K", "T"))
    K = np.array([[P[0, 0] * n / 2, 0, (1 - P[0, 2]) * n / 2], [0, P[1, 1] * n / 2, (1 + P[1, 2]) * n / 2], [0, 0, 1]])
    camera = Camera(torch.tensor(K).float(), torch.tensor(np.diag([1, -1, -1, 1]) @ T).float(), n, n)
    hips, height = a.body.rest(a.betas[None], offsets=a.offsets)[1][0, 0], a.transl[1]
    middle = height * hips.new_tensor([0, 1, 0]) - hips * hips.new_tensor([1, 0, 1])
    clip = Clip("photo", a.pose[None], middle[None], 30)
    lift = build_model(a.body, a.betas, a.offsets, a.rgb, [clip]).tracks[0].lift
    expected = a.render(a.pose, camera, transl=middle + hips.new_tensor([0, lift, 0]))
    got = np.zeros((n, n, 4))
    x, y, w, h = (seen[k] for k in ("x", "y", "width", "height"))
    got[y : y + h, x : x + w] = np.array(seen["rgba"]).reshape(h, w, 4) / 255
    assert 0.04 < (expected[..., 3] > 0.5).mean() < 0.9
    over = lambda p: np.dstack([p[..., :3] * p[..., 3:], p[..., 3:]])  # noqa: E731
    assert np.abs(over(got) - over(expected)).max() <= 4 / 255


@needs_browser
def test_page_in_chromium(page: str, avatar: Avatar, tmp_path: Path) -> None:
    (tmp_path / "me.html").write_text(page, "utf-8")
    found = browse(tmp_path, (tmp_path / "me.html").as_uri(), [
        {"wait": "window.dinar"},
        {"evaluate": "[dinar.viewer.playing, dinar.viewer.expressions.length]"},
        {"click": "text=Walk"},
        {"wait": "dinar.viewer.frames > 3"},
        {"evaluate": "dinar.viewer.playing"},
        {"click": "text=Happy"},
        {"click": "text=Compare with the photo"},
        {"evaluate": "[dinar.viewer.playing, document.querySelector('.compare img').complete]"},
        {"save": "a.file", "to": str(tmp_path / "me.glb")},
    ], width=900, height=500)  # fmt: skip
    assert not found["messages"]
    assert all(r.split(":")[0] in ("file", "data", "blob") for r in found["requests"])
    assert found["results"] == [["idle", len(avatar.body.expression_names) + len(VISEMES)], "walk", ["photo", True]]
    assert (tmp_path / "me.glb").read_bytes()[:4] == b"glTF"
