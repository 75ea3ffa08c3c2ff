"""Shared fixtures. Nothing here needs the network except the pose network's files, and tests that lack them skip."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dinar.avatar import Avatar
from dinar.body import Body, load_body
from dinar.create import create
from dinar.errors import DinarError

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
def real_photo() -> Path:
    """A street photo, where this project's development data are at hand."""
    path = PHOTOS / "0246.jpg"
    if not path.exists():
        pytest.skip("no real photos here: ../shared/data/ccp is absent")
    return path
