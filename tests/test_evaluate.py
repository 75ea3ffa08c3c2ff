"""The evaluation commands on a rendered person whose avatar is known: what should be perfect is, what is not is not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dinar.avatar import Avatar
from dinar.body import Body
from dinar.cli import main
from dinar.create import CreateOptions
from dinar.data.folder import start_set, write_views
from dinar.errors import DinarError
from dinar.evaluate import evaluate_views, people, published, systems, tasks
from dinar.evaluate.people import BACK, NEAR, POSED, SAME, SIDE, angles_to, choose_input, new_pose
from dinar.evaluate.protocol import Protocol, on_background
from dinar.fit.fit_file import load_fit
from dinar.fit.view import View
from dinar.scene import orbit
from dinar.views import Params, Views

SIZE = 192  # MS-SSIM needs 176
AZIMUTHS = (90, 0, 40, 180, 10)  # the second is the most frontal; the last stands in another pose


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 255, (16, 16, 3), np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)


def plain_avatar(body: Body, texture: np.ndarray, fit) -> Avatar:
    lam = np.zeros(texture.shape[:2], np.uint8)
    offsets = torch.zeros(body.num_vertices, 3)
    return Avatar(body, fit.betas, offsets, texture, lam, fit.pose, fit.transl, fit.camera, {"renderer": "mesh"})


def turned(body: Body, texture: np.ndarray, name: str, shape: float = 0.0) -> Views:
    """A person whose pictures are drawn by the renderer that the avatar uses, over a busy background."""
    betas = torch.full((body.num_betas,), shape)
    pose = torch.zeros(len(AZIMUTHS), body.num_joints, 3)
    pose[:, 0, 1] = 0.3  # angles count from where the person faces
    pose[-1, body.joint("left_shoulder"), 2] = 1.0
    n, rng = len(AZIMUTHS), np.random.default_rng(1)
    params = Params(betas, pose, torch.zeros(n, 3))
    vertices = params.posed(body).vertices
    cameras = [orbit(v, a + np.rad2deg(0.3), 0, 256, 256) for v, a in zip(vertices, AZIMUTHS, strict=True)]
    pictures = []
    for p, c in zip(pose, cameras, strict=True):
        fit = type("Fit", (), {"betas": betas, "pose": p, "transl": torch.zeros(3), "camera": c})
        rgba = plain_avatar(body, texture, fit).render(p, c, transl=torch.zeros(3))
        ground = rng.random((256, 256, 3))
        rgb = np.where(rgba[..., 3:] > 0, rgba[..., :3], ground)
        pictures.append(np.rint(np.dstack([rgb, rgba[..., 3]]) * 255).astype(np.uint8))
    rgba = torch.from_numpy(np.stack(pictures))
    return Views(rgba[..., :3].contiguous(), rgba[..., 3].contiguous(), torch.stack([c.K for c in cameras]),
                 torch.stack([c.T_cam_world for c in cameras]), params, name=name).check()  # fmt: skip


@pytest.fixture(scope="module")
def anna(body: Body, texture: np.ndarray) -> Views:
    return turned(body, texture, "anna")


@pytest.fixture(scope="module")
def data(body: Body, texture: np.ndarray, anna: Views, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "set"
    start_set(folder, "anny", (256, 256))
    for v in (anna, turned(body, texture, "berta", 0.5).select([1, 3, 4])):
        write_views(folder, v, jpeg=0)
    return folder


@pytest.fixture
def made(texture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[CreateOptions, tuple]]]:
    """`create` knows the texture and takes the fit it is given; options and masks of every call."""
    calls: list[tuple[CreateOptions, tuple]] = []

    def known(photos, options, *, body, masks, fits) -> Avatar:
        calls.append((options, masks))
        h, w = cv2.imread(str(photos[0])).shape[:2]
        fit = load_fit(fits[0], body, View(np.zeros((33, 4)), None, None, h, w))
        colours = texture if options.offsets else 255 - texture
        return plain_avatar(body, colours, fit)

    monkeypatch.setattr(people, "create", known)
    yield calls


def evaluate(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str]:
    """Exit status, and what was printed or the one line of the error."""
    capsys.readouterr()
    try:
        main(["evaluate", *(str(a) for a in argv)])
    except SystemExit as e:
        err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dinar: ")]
        assert len(err) == 1
        return int(e.code or 0), err[0]
    return 0, capsys.readouterr().out


FAST = ("--metrics", "PSNR", "IoU", "MS-SSIM", "--size", SIZE, "--renderer", "mesh")


def test_views(data: Path, made: list[dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    status, table = evaluate(capsys, "views", data, *FAST, "-o", out)
    assert status == 0 and [o.renderer for o, _ in made] == ["mesh", "mesh"] and made[0][1] == ()
    results = json.loads((out / "results.json").read_text())
    rows = {r["view"]: r for r in results["rows"] if r["person"] == "anna"}
    assert [rows[f"{k:02d}"]["group"] for k in range(5)] == [SIDE, SAME, NEAR, BACK, POSED]
    # the avatar is the person: what is left is the resampling of the edges
    low = {m: min(r["values"][m] for r in rows.values()) for m in ("PSNR", "MS-SSIM", "IoU")}
    assert low["PSNR"] > 30 and low["MS-SSIM"] > 0.99 and low["IoU"] > 0.96
    means = results["summary"]["mesh"]
    both = [r["values"]["PSNR"] for r in results["rows"] if r["group"] == BACK]
    assert means[BACK]["PSNR"]["mean"] == pytest.approx(np.mean(both)) and means[BACK]["PSNR"]["people"] == 2
    assert min(both) <= means[BACK]["PSNR"]["low"] <= means[BACK]["PSNR"]["high"] <= max(both)
    assert means["other views"]["PSNR"]["pictures"] == 6
    for said in ("published, SnapshotPeople", "0.9687", "**mesh**", "Background: white", "margin 6%", "192 px"):
        assert said in table
    assert results["protocol"]["poses"] in table and cv2.imread(str(out / "sheet.png")).shape[0] == 8 * 192

    # a stopped run goes on: one person is made again, the figures are the same
    (out / "people" / "000001.json").unlink()
    assert evaluate(capsys, "views", data, *FAST, "-o", out)[0] == 0
    assert len(made) == 3 and json.loads((out / "results.json").read_text()) == results
    again = evaluate_views(data, out, renderer="mesh", size=SIZE, metrics=("PSNR", "IoU", "MS-SSIM"))  # the same
    assert again["summary"] == results["summary"] and len(made) == 3
    status, line = evaluate(capsys, "views", data, *FAST, "--erode", 1, "-o", out)
    assert status == 1 and "erode differ" in line

    # the written pictures are what was measured: as somebody else's renders they score the same
    pictures = out / "pictures"
    other = tmp_path / "other"
    argv = ("renders", pictures / "mesh", pictures / "truth", "--crop", "full", *FAST[:-2], "-o", other)
    assert evaluate(capsys, *argv)[0] == 0
    again = {(r["person"], r["view"]): r for r in json.loads((other / "results.json").read_text())["rows"]}
    for r in results["rows"]:
        name = f"{r['group'].replace('°', '').replace(' ', '-')}/{r['person']}.{r['view']}.png"
        x, y = (cv2.imread(str(pictures / who / name), -1).astype(float) / 255 for who in ("mesh", "truth"))
        x, y = (p[..., :3] * p[..., 3:] + 1 - p[..., 3:] for p in (x, y))
        brute = 10 * np.log10(1 / np.mean((x - y) ** 2))
        assert again[r["person"], r["view"]]["values"]["PSNR"] == pytest.approx(brute, abs=1e-4)
        assert r["values"]["PSNR"] == pytest.approx(brute, abs=1e-4)


def test_ablation(data: Path, made: list[dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("ablation", data, *FAST, "--people", 1, "--no-own-mask", "-o", tmp_path / "out")
    status, table = evaluate(capsys, *argv)
    assert status == 0 and len(made) == 3 and len(made[0][1]) == 1
    assert "| neural: + RGB tuning | – " not in table and "| + RGB tuning | – " in table and "| 24.98 |" in table
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["summary"]
    bare, whole = (rows[f"mesh: {n}"][SAME] for n in ("texture on the bare body", "+ occlusion detector"))
    assert bare["PSNR"]["mean"] < whole["PSNR"]["mean"] - 5 and bare["IoU"] == whole["IoU"]
    assert bare["PSNR"]["low"] is None  # of one person there is no interval


def test_ablation_rows_differ_by_one_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "check_weights", lambda weights: None)
    monkeypatch.setattr(systems, "shipped", lambda: Path("somewhere"))
    rows = {s.name.removeprefix("neural: "): s.options for s in systems.ablation_systems(["neural"], None)}
    names = ("restoration in place of inpainting", "that, without tuning", "that, on the bare body")
    ours = [rows.pop(n) for n in names]
    assert all(o.unseen == "restoration" for o in ours)
    assert [(o.refine, o.offsets) for o in ours] == [(True, True), (False, True), (False, False)]
    assert list(rows) == list(published.ABLATION)
    on = lambda n, k: getattr(rows[n], k)  # noqa: E731
    for k, names in {"neural": ["RGB texture"], "rgb": ["neural texture"]}.items():
        assert [n for n in rows if not on(n, k)] == names
    order = list(rows)[2:]
    assert [rows[n].unseen == "diffusion" for n in order] == [False, True, True, True]
    for k, first in {"occlusion": "+ occlusion detector", "refine": "+ RGB tuning"}.items():
        assert [on(n, k) for n in order] == [order.index(n) >= order.index(first) for n in order]
    assert len(systems.ablation_systems(["auto"], None)) == 12 and len(systems.ablation_systems(["mesh"], None)) == 3


def test_ways_to_fill_texels_are_systems() -> None:
    found = systems.choose_systems(["mesh"], None, ["restoration", "regression"], Path("mine"))
    assert [(s.name, s.options.unseen, s.options.regressor) for s in found] == [
        ("mesh, restoration", "restoration", None), ("mesh, regression", "regression", Path("mine"))]  # fmt: skip


def test_angles_and_poses(anna: Views, body: Body) -> None:
    first = choose_input(anna, None)
    assert first == 1 and choose_input(anna, "03") == choose_input(anna, "3") == 3
    assert angles_to(anna, first, body) == pytest.approx([90, 0, 40, 180, 10], abs=5)
    assert new_pose(anna, first, body).tolist() == [False] * 4 + [True]
    away = dataclasses.replace(anna.params, pose=anna.params.pose.clone())
    away.pose[:, 0, 1] += torch.tensor([0, 0.5, 0, 0, 0])  # turning the person is walking around them
    moved = angles_to(dataclasses.replace(anna, params=away), first, body)
    assert moved == pytest.approx([90 + 28.6, 0, 40 + 28.6, 180 - 28.6, 10 + 28.6], abs=5)


def test_refit(anna: Views, body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body comes from the fit, the true masks stay, and views without a fit are left out by name."""
    from dinar.fit.fit_file import Fit
    from dinar.fit.view import photo_camera

    def found(path: Path, whole: bool = False):
        if path.stem == "03":
            raise DinarError(f"{path}: found no person")
        return type("Subject", (), {"view": path.stem, "hands": None})

    def fit(body: Body, views: list, shared_shape: bool) -> list[Fit]:
        errors = {"00": 9.0}
        return [Fit(torch.ones(body.num_betas), torch.zeros(body.num_joints, 3), torch.tensor([0, 0, -int(v)]),
                    photo_camera(512, 512), errors.get(v, 0.5)) for v in views]  # fmt: skip

    monkeypatch.setattr(people, "read_subject", found)
    monkeypatch.setattr(people, "fit_body", fit)
    monkeypatch.setattr(people, "fit_fingers", lambda body, f, hands: dataclasses.replace(f, transl=f.transl.float()))
    v, skipped = people.refit(anna, body)
    assert v.view_names == ("01", "02", "04") and set(skipped) == {"00", "03"} and "9.0 %" in skipped["00"]
    assert skipped["03"] == "03: found no person"
    assert v.params.transl[:, 2].tolist() == [-1, -2, -4] and v.fit.betas.eq(1).all()
    assert torch.equal(v.alpha, anna.alpha[[1, 2, 4]])
    assert v.K[0, 0, 0] == pytest.approx(1.3 * 256)  # the fit's camera, at the pictures' size


def test_sequence(data: Path, made: list[dict], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are chosen, the wanted one among them, with their masks; the fitted set is evaluated by angle."""
    root = tmp_path / "video"
    (root / "masks").mkdir(parents=True)
    for k in range(9):
        for folder in (root, root / "masks"):
            cv2.imwrite(str(folder / f"{k:02d}.png"), np.full((64, 48, 3), 20 * k, np.uint8))
    staged: list[str] = []

    def fitted(folder: Path, out: Path, **options) -> dict:
        staged[:] = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png"))
        if not out.exists():
            out.mkdir()
            for p in data.rglob("*"):
                if p.is_file() and "berta" not in p.parts:
                    (out / p.relative_to(data)).parent.mkdir(parents=True, exist_ok=True)
                    (out / p.relative_to(data)).write_bytes(p.read_bytes())
        return {"people": {"anna": {"skipped": {"08": "no person"}}}, "left_out": {"emil": "too dark"}}

    monkeypatch.setattr(tasks, "import_people", fitted)
    out = tmp_path / "out"
    status, table = evaluate(capsys, "sequence", root, "--frames", 3, "--input", "04", *FAST, "-o", out)
    assert status == 0 and "emil: too dark" in table and "anna.08: no person" in table
    taken = ["00", "03", "04", "06"]
    assert staged == [f"video/{n}.png" for n in taken] + [f"video/mask/{n}.png" for n in taken]
    results = json.loads((out / "results.json").read_text())
    groups = {r["view"]: r["group"] for r in results["rows"]}
    assert groups["04"] == SAME and "one shape" in results["protocol"]["poses"]
    status, line = evaluate(capsys, "sequence", root, "--frames", 3, "--input", "11", *FAST, "-o", tmp_path / "b")
    assert status == 1 and "no frame 11" in line and not list((tmp_path / "b" / "frames").iterdir())


def test_erosion_and_background() -> None:
    p = Protocol("renders", "x", size=64, background="grey", erode=2)
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[20:40, 20:40] = 255
    out = on_background(picture, p)
    inside = np.zeros((64, 64), bool)
    inside[22:38, 22:38] = True
    assert (out[inside] == 1).all() and (out[~inside] == 0.5).all()


def test_bad_input_is_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c, d = (tmp_path / n for n in "abcd")
    for folder, size, name in ((a, 80, "x.png"), (b, 90, "x.png"), (c, 80, "y.png"), (d, 80, "x.png")):
        folder.mkdir()
        cv2.imwrite(str(folder / name), np.zeros((size, size, 3), np.uint8))
    full = ("--crop", "full", "--size", 80, "--metrics", "PSNR")
    for k, (argv, expect) in enumerate({
        ("renders", a, tmp_path / "nowhere", *full): "none at",
        ("renders", a, b, *full): "expected a picture of the size of",
        ("renders", a, c, *full): "1 are missing; the first is y",
        ("renders", a, d, "--metrics", "PSNR"): "no mask to crop by",
        ("renders", a, d, *full, "--masks", b / "masks"): "found none for x",
        ("renders", a, d, "--metrics", "FID"): "expected --metrics among",
        ("views", data, "--size", 7): "expected --size",
        ("views", data, "--erode", 100): "expected --erode",
        ("views", tmp_path): "is not a multi-view set",
        ("views", data, "--weights", tmp_path): "expected the weights folder",
        ("views", data, *FAST, "--people", 1, "--input", "99"): "no view 99",
        ("sequence", tmp_path / "nowhere"): "no video or folder",
    }.items()):  # fmt: skip
        status, line = evaluate(capsys, *argv, "-o", tmp_path / f"out{k}")
        assert status == 1 and expect in line, line
