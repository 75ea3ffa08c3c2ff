"""The device: one setting, one sentence where it is not there, and the same code on every device.

``meta`` tensors stand for those of a GPU: an operation that mixes them with the CPU's fails.
"""

from __future__ import annotations

import copy
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

import dinar
from dinar import device as module
from dinar.avatar import Avatar
from dinar.body import Body
from dinar.body.readers import load_motion
from dinar.commands.evaluate import EvaluateRenders
from dinar.commands.main import commands
from dinar.commands.train import STAGES as STAGES_OF_TRAINING
from dinar.device import current, half, network_dtype, use
from dinar.errors import DinarError
from dinar.photo.parsing import class_probabilities, load_parser
from dinar.photo.surface import load_surface, surface_map
from dinar.scene import orbit, rasterize_mesh
from dinar.scene._numba import shade_numba
from dinar.scene.textured import render_textured, shade_torch

META = torch.device("meta")


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(module.VARIABLE, raising=False)


def test_one_setting_that_workers_inherit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert use("cpu") == torch.device("cpu") == current() and os.environ[module.VARIABLE] == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert dinar.use("cuda:1") == torch.device("cuda:1")
    assert use("auto") == torch.device("cpu")
    with pytest.raises(DinarError, match="there is no cuda:2 here: expected --device cpu, or cuda:0 to cuda:1"):
        use("cuda:2")
    assert current() == torch.device("cpu")  # as it was


def test_a_device_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DinarError, match="there is no cuda here: expected --device cpu"):
        dinar.create("photo.jpg", device="cuda")
    with pytest.raises(DinarError, match="expected --device auto, cpu, cuda, cuda:N or mps, got gpu"):
        use("gpu")


def test_every_command_has_the_option() -> None:
    several = {"Train", "Evaluate"}  # their subcommands have it
    known = [c for c in commands([]) if c.__name__ not in several]
    assert len(known) == len(commands([])) - len(several)
    for command in [*known, *STAGES_OF_TRAINING.values(), EvaluateRenders]:
        assert "device" in command.__dataclass_fields__, command


def test_half_precision_on_cuda_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    assert network_dtype(torch.device("cuda")) == torch.float16
    assert network_dtype(torch.device("cpu")) == torch.bfloat16
    assert network_dtype(torch.device("mps")) == torch.float32
    with half(torch.device("cpu")):
        assert not torch.is_autocast_enabled("cpu")


def test_half_precision_changes_little(avatar: Avatar) -> None:
    """What CUDA computes with, on the CPU: no constant of a network is of another type, and answers are close."""
    s = avatar.work.subjects[0]
    for dtype in (torch.float32, torch.float16):
        tolerance = 1e-6 if dtype == network_dtype(torch.device("cpu")) else 0.02  # with AMX, all is in bf16
        net = copy.deepcopy(load_surface()).to(dtype)
        found = surface_map(s.rgb, s.alpha, s.view.keypoints, net)
        assert np.abs(found.probability - s.view.surface.probability).mean() < tolerance
        parser = copy.deepcopy(load_parser()).to(dtype)
        (box, p), (other, expected) = (class_probabilities(s.rgb, s.view.keypoints, x) for x in (parser, load_parser()))
        both = [tuple(slice(max(a.start, b.start) - a.start, min(a.stop, b.stop) - a.start)
                      for a, b in zip(x, y, strict=True)) for x, y in ((box, other), (other, box))]  # fmt: skip
        assert np.abs(p[both[0]] - expected[both[1]]).mean() < tolerance
        assert max(abs(a.start - b.start) + abs(a.stop - b.stop) for a, b in zip(box, other, strict=True)) < 8


def test_a_network_is_moved_to_the_device_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dinar.photo.parsing.current", lambda: META)
    monkeypatch.setattr("dinar.photo.surface.current", lambda: META)
    for net in (load_parser(), load_surface()):
        assert {p.device for p in net.parameters()} == {META}


def test_textured_pixels_in_torch_are_the_kernels(avatar: Avatar) -> None:
    v, a = avatar.vertices(), avatar.body.atlas
    f = rasterize_mesh(v, avatar.body.faces, orbit(v, 30, height=192, width=128))
    expected = shade_numba(f.face[0], f.barycentrics[0], a.uv, a.faces, avatar.rgb, 2)
    got = shade_torch(f, torch.as_tensor(a.uv), torch.as_tensor(a.faces), torch.as_tensor(avatar.rgb), 2)[0]
    np.testing.assert_allclose(got.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("shift", [(0, 0), (30, -20), (-20, 50), (500, 0)])
def test_only_the_part_of_a_picture_with_the_person_is_drawn(avatar: Avatar, shift: tuple[int, int]) -> None:
    """The picture is that of the whole frame, also where the person is cut off or outside."""
    v, a, faces = avatar.vertices(), avatar.body.atlas, avatar.body.faces
    camera = orbit(v, 30, height=96, width=64).crop(*shift, 1.0, 96, 64)
    f = rasterize_mesh(v, faces, camera.resized(192, 128))
    expected = shade_numba(f.face[0], f.barycentrics[0], a.uv, a.faces, avatar.rgb, 2)
    np.testing.assert_array_equal(render_textured(v, faces, a.uv, a.faces, avatar.rgb, camera), expected)
    assert (expected[..., 3] > 0).any() == (shift[0] < 64)


def test_frames_share_a_shape_until_it_changes(avatar: Avatar) -> None:
    a = avatar.replace(offsets=avatar.offsets.clone())
    before, faces = a.vertices(), torch.eye(avatar.body.num_expression)[:2]
    a.offsets += 0.01
    assert (a.vertices() - before).norm(dim=1).min() > 0.005
    whole = a.body(a.betas[None], a.pose[None], a.transl[None], faces[1:], a.offsets).vertices[0]
    torch.testing.assert_close(a.vertices(expression=faces[1]), whole, atol=1e-6, rtol=0)


def test_frames_on_a_gpu(avatar: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU's path, with the CPU in its place: frames of an animation are drawn together."""
    smile = torch.eye(avatar.body.num_expression)[avatar.body.expression_names.index("mouthSmileLeft")]
    pictures = lambda: [avatar.render(size=96, azimuth=40), avatar.render(size=64, expression=smile),  # noqa: E731
                        *avatar.animate(load_motion("walk").resampled(3), 48, turn=90)]  # fmt: skip
    expected = pictures()
    monkeypatch.setattr("dinar.avatar.TOGETHER", 2 * 48 * 48)
    gpu = SimpleNamespace(type="cuda")
    monkeypatch.setattr("dinar.avatar.current", lambda: gpu)
    monkeypatch.setattr("dinar.avatar._on_gpu", lambda body, device: (
        body, *(torch.as_tensor(x) for x in (body.faces, body.atlas.uv, body.atlas.faces))))  # fmt: skip
    to = Tensor.to
    monkeypatch.setattr(Tensor, "to", lambda x, where, *a, **k: x if where is gpu else to(x, where, *a, **k))
    for got, want in zip(pictures(), expected, strict=True):
        assert (np.abs(got - want) > 1e-5).mean() < 1e-3  # edges: products of many bodies round otherwise than of one


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_frames_and_fits_of_a_gpu_are_the_cpus(avatar: Avatar, body: Body) -> None:
    use("cpu")
    expected = avatar.render(size=256)
    use("cuda")
    assert np.abs(avatar.render(size=256) - expected).mean() < 1e-3
