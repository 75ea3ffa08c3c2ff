"""The truth of pictures that are stood up before they are fitted (benchmarks/truth.py)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from dinar.body import Body
from dinar.fit.fit_file import Fit
from dinar.fit.view import photo_camera
from dinar.views import Params, Views

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from truth import as_read, measure


def test_the_truth_of_a_turned_picture_is_turned_with_it(body: Body) -> None:
    upright = photo_camera(24, 16, 30.0, 0.2)
    lying = upright.turned(-1)
    pose, transl = torch.zeros(1, body.num_joints, 3), torch.tensor([[0.1, 0.2, -4.0]])
    pose[0, 0, 1] = 0.5
    picture = torch.arange(16 * 24 * 3).reshape(1, 16, 24, 3).to(torch.uint8)
    v = Views(picture, picture[..., 0], lying.K[None], lying.T_cam_world[None],
              Params(torch.zeros(body.num_betas), pose, transl))  # fmt: skip
    stood = as_read(v, 1)
    fit = Fit(v.params.betas, pose[0], transl[0], upright, 0.0)
    assert stood.size == (24, 16) and torch.equal(stood.rgb[0, 0, 0], picture[0, 0, -1])
    assert torch.allclose(stood.K[0], upright.K)
    found = measure(body, fit, stood)
    assert found["mpjpe"] < 1e-3 and found["turn"] < 0.1
    assert found["pitch"] == pytest.approx(0, abs=1e-4)
    assert measure(body, fit, v)["turn"] == pytest.approx(90, abs=0.1)
