"""Shared fixtures. Nothing here needs the network except the pose network's files, and tests that lack them skip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.avatar import Avatar
from dinar.body import Body, load_body
from dinar.create import create
from dinar.errors import DinarError
from dinar.nets.channels import CHANNELS
from dinar.nets.renderer import FastRenderer
from dinar.neural.avatar import Neural, fine_layer

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT.parent / "shared" / "data" / "ccp" / "photos"


@pytest.fixture(scope="session", autouse=True)
def _one_thread_for_fixtures() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small tensors: a second thread mostly waits. Commands that a test before ran have set others."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def body() -> Body:
    return load_body()


@pytest.fixture(scope="session")
def demo_photo() -> Path:
    return ROOT / "src" / "dinar" / "data" / "demo.jpg"


@pytest.fixture(scope="session")
def pose_network() -> None:
    from dinar.assets import asset

    try:
        asset("pose_detection.tflite")
    except DinarError as e:
        pytest.skip(f"the pose network cannot be fetched here: {e}")


@pytest.fixture(scope="session")
def avatar(demo_photo: Path, pose_network: None) -> Avatar:
    """The demo avatar, a textured mesh, made once for all tests."""
    return create(demo_photo, renderer="mesh")


@pytest.fixture(scope="session")
def neural_avatar(avatar: Avatar) -> Avatar:
    """The demo avatar with a random texture and a small, untrained renderer, in its own batch norms' statistics."""
    g = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = FastRenderer((8, 12, 16, 16), 1).train()
        inputs = [torch.rand(1, c, 64, 64, generator=g) for c in (CHANNELS, 2, 1)]
        for _ in range(3):
            net(*inputs)
    fine = fine_layer(avatar.rgb / np.float32(255), avatar.lam)
    texture = torch.rand(1, CHANNELS, 32, 32, generator=g)
    return avatar.replace(neural=Neural(texture, fine, net.eval().requires_grad_(False), 64, 64))


@pytest.fixture(scope="session")
def real_photo() -> Path:
    """A street photo, where this project's development data are at hand."""
    path = PHOTOS / "0246.jpg"
    if not path.exists():
        pytest.skip("no real photos here: ../shared/data/ccp is absent")
    return path
