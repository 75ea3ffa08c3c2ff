"""The default body: its skinning against a float64 loop, reduction, keypoints, rotations and their gradients."""

import numpy as np
import pytest
import torch

from dinar.body import Body, load_body
from dinar.body.rotation import (
    axis_angle_to_matrix,
    kabsch,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    quaternion_to_matrix,
    slerp,
)
from dinar.body.skeleton import PARENT
from dinar.errors import DinarError


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_is_loaded_once(body: Body) -> None:
    assert load_body() is body


def test_skeleton_is_that_of_smplx(body: Body) -> None:
    for j, name in enumerate(body.joint_names):
        parent = body.joint_names[body.parents[j]] if body.parents[j] >= 0 else ""
        assert PARENT[name] == parent
    v = body.v_template
    assert 1.5 < float(v[:, 1].max() - v[:, 1].min()) < 1.9
    left, nose = body.joint("left_shoulder"), body.keypoint_weights[body.keypoint_names.index("nose")] @ v
    assert body.j_template[left, 0] > 0.1 and nose[2] > body.j_template[body.joint("head"), 2]
    assert (body.weights.sum(1) - 1).abs().max() < 1e-5


def rodrigues(a: np.ndarray) -> np.ndarray:
    t = np.linalg.norm(a)
    if t == 0:
        return np.eye(3)
    x, y, z = a / t
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(t) * K + (1 - np.cos(t)) * K @ K


def test_skinning_agrees_with_a_float64_loop(body: Body) -> None:
    betas, expression = random(1, 20), torch.rand(1, 52)
    pose, transl, offsets = random(1, 54, 3, seed=1) * 0.5, random(1, 3, seed=2), random(13718, 3, seed=3) * 0.01
    got = body(betas, pose, transl, expression, offsets)
    n = lambda t: t.double().numpy()  # noqa: E731
    c = np.concatenate([n(betas)[0], np.zeros(28), n(expression)[0]])
    joints = n(body.j_template) + n(body.j_dirs) @ c
    chain: list[np.ndarray] = []
    for j, p in enumerate(body.parents):
        T = np.eye(4)
        T[:3, :3] = rodrigues(n(pose)[0, j])
        T[:3, 3] = joints[j] - (joints[p] if p >= 0 else 0)
        chain.append(chain[p] @ T if p >= 0 else T)
    np.testing.assert_allclose(got.joints[0], np.stack([T[:3, 3] for T in chain]) + n(transl), atol=1e-5)
    for i in range(0, 13718, 91):
        v = n(body.v_template[i]) + n(body.shapedirs[i]) @ c + n(offsets[i])
        x = np.zeros(3)
        for j in np.flatnonzero(body.weights[i].numpy()):
            x += float(body.weights[i, j]) * (chain[j][:3, :3] @ (v - joints[j]) + chain[j][:3, 3])
        np.testing.assert_allclose(got.vertices[0, i], x + n(transl)[0], atol=1e-5)
        y = n(got.skinning[0])  # the same through the returned transforms
        y = np.einsum("j,jab,b->a", n(body.weights[i]), y, np.append(v, 1))[:3]
        np.testing.assert_allclose(y, x + n(transl)[0], atol=1e-5)


def test_rigid_motion_moves_the_body_rigidly(body: Body) -> None:
    pose = random(1, 54, 3) * 0.3
    a = body(torch.zeros(1, 1), pose)
    turned = pose.clone()
    R = axis_angle_to_matrix(torch.tensor([0.3, 1.0, -0.5]))
    turned[:, 0] = matrix_to_axis_angle(R @ axis_angle_to_matrix(pose[:, 0]))
    b = body(torch.zeros(1, 1), turned, torch.tensor([[1.0, 2, 3]]))
    root = a.joints[:, :1]
    expected = (a.vertices - root) @ R.T + root + torch.tensor([1.0, 2, 3])
    torch.testing.assert_close(b.vertices, expected, atol=2e-5, rtol=0)


def test_reduced_body_equals_the_full_one(body: Body) -> None:
    keep = np.union1d(np.arange(0, 13718, 100), body.keypoint_support)
    small = body.reduced(keep)
    pose, betas = random(3, 54, 3) * 0.4, random(3, 10)
    full, part = body(betas, pose), small(betas, pose)
    torch.testing.assert_close(part.vertices, full.vertices[:, keep])
    torch.testing.assert_close(small.keypoints(part), body.keypoints(full), atol=1e-5, rtol=0)


def test_body_with_fewer_joints_equals_the_full_one_with_these_at_rest(body: Body) -> None:
    names = body.joint_names[:22]
    keep = np.arange(0, 13718, 50)
    small = body.reduced(keep, names)
    pose = torch.zeros(2, 54, 3)
    pose[:, :22] = random(2, 22, 3) * 0.4
    part, full = small(torch.zeros(2, 1), pose[:, :22]), body(torch.zeros(2, 1), pose)
    torch.testing.assert_close(part.vertices, full.vertices[:, keep], atol=1e-5, rtol=0)


def test_mirror_is_an_involution_of_the_template(body: Body) -> None:
    m = body.mirror
    assert (m[m] == np.arange(len(m))).all()
    v = body.v_template.numpy()
    assert np.abs(v[m] * [-1, 1, 1] - v).max() < 2e-3


def test_wrong_input_is_refused(body: Body) -> None:
    with pytest.raises(DinarError, match="at most 48 betas"):
        body(torch.zeros(1, 49))
    with pytest.raises(DinarError, match=r"pose of shape \[B, 54, 3\]"):
        body(torch.zeros(1, 1), torch.zeros(1, 55, 3))
    with pytest.raises(DinarError, match="--body-path"):
        load_body("smplx")
    with pytest.raises(DinarError, match="unknown body"):
        load_body("smal")


def test_gradients_of_rotations() -> None:
    a = random(6, 3, dtype=torch.float64)
    a[0] = 0  # at zero
    a[1] = torch.tensor([1e-5, -2e-5, 1e-5])  # in the series
    a[2] = torch.tensor([3.0, 0.3, 0.2])  # near π
    a.requires_grad_()
    assert torch.autograd.gradcheck(axis_angle_to_matrix, a)
    there_and_back = lambda x: matrix_to_axis_angle(axis_angle_to_matrix(x))  # noqa: E731
    assert torch.autograd.gradcheck(there_and_back, a)
    q = random(5, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(quaternion_to_matrix, q)
    assert torch.autograd.gradcheck(lambda x: matrix_to_quaternion(quaternion_to_matrix(x)), q)


def test_rotations_agree_with_each_other() -> None:
    a = random(500, 3, dtype=torch.float64)
    a = a * (torch.rand(500, 1) * 3.1 / a.norm(dim=1, keepdim=True))
    R = axis_angle_to_matrix(a)
    torch.testing.assert_close(R, torch.linalg.matrix_exp(torch.stack([torch.tensor(
        [[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64) for x, y, z in a.tolist()])))  # fmt: skip
    torch.testing.assert_close(matrix_to_axis_angle(R), a)
    torch.testing.assert_close(quaternion_to_matrix(matrix_to_quaternion(R)), R)
    half_turns = torch.diag_embed(torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]]))
    torch.testing.assert_close(axis_angle_to_matrix(matrix_to_axis_angle(half_turns)), half_turns)
    p = random(30, 3, dtype=torch.float64)
    torch.testing.assert_close(kabsch(p, p @ R[0].T), R[0])


def test_slerp_turns_at_constant_speed_the_short_way() -> None:
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    end = torch.linspace(0.1, 3.0, 8, dtype=torch.float64)
    q = matrix_to_quaternion(axis_angle_to_matrix(end[:, None] * axis))
    one = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand_as(q)
    for t in (0.0, 0.25, 1.0):
        for b in (q, -q):
            got = quaternion_to_matrix(slerp(one, b, torch.full((8,), t, dtype=torch.float64)))
            torch.testing.assert_close(got, axis_angle_to_matrix(t * end[:, None] * axis), atol=1e-6, rtol=0)
