"""Sample people: shape, skin, hair, clothes; poses, cameras and light; and parameters with the errors of a fit.

(seed, index) determines a person in every run on machines of one kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...body import load_body
from ...body.body import PARTS, Body
from ...body.hands import relaxed_hands
from ...body.motion import Motion, retarget
from ...body.postures import posture
from ...body.varied_postures import varied_posture
from ...labels import LABEL
from ...scene import Camera, intrinsics
from ...views import project
from ..base.colours import triple
from ..base.makehuman import hm08_indices
from ..base.nearest import nearest
from ..base.surfaces import Surfaces, normals_of
from ..garments.dress import Layer, asset_height, asset_layer, dress
from ..garments.fabric import sample_fabric, sample_palette
from ..garments.figure import Figure, join
from ..garments.outfit import sample_outfit
from ..render.materials import Texture
from .accessories import accessories
from .closet import Closet, Item, part_of
from .hair import COLOURS, SHARE, sample_hair
from .skin import sample_eye, sample_skin


@dataclass(eq=False)
class Person:
    """A dressed person at rest."""

    figure: Figure
    betas: Tensor  # [num_betas]
    expression: Tensor  # [num_expression]
    male: bool
    wears: tuple[str, ...] = field(default=())


def sample_betas(rng: np.random.Generator, s: Surfaces, male: bool) -> Tensor:
    """[num_betas] of a random adult: broad shoulders for men, broad hips for women, by rejection."""
    draws = torch.from_numpy(rng.normal(0, 0.85, (8, s.body.num_betas)).clip(-2.2, 2.2)).float()
    draws = draws.to(s.body.v_template.device)
    j = s.body.rest(draws)[1]
    x = lambda name: j[:, s.body.joint(f"left_{name}"), 0]  # noqa: E731
    broad = x("shoulder") / x("hip")
    want = broad.argmax() if male else broad.argmin()
    return draws[want]


def make_person(rng: np.random.Generator, s: Surfaces, closet: Closet) -> Person:
    """A dressed person, in some 10 milliseconds."""
    male = bool(rng.random() < 0.5)
    betas = sample_betas(rng, s, male)
    device = betas.device
    expression = torch.zeros(s.body.num_expression, device=device)
    for k in rng.choice(s.body.num_expression, int(rng.integers(0, 5)), replace=False):
        expression[int(k)] = float(rng.uniform(0, 0.55))
    rest = s.body.rest(betas[None], expression[None])[0][0]
    plain, joints = (a[0] for a in s.body.rest(betas[None]))
    helper = s.helper(betas)
    base = s.base(plain, helper).double()
    weights = s.base(s.body.weights, s.helper_weights)
    hanging = s.base(s.body_p, s.helper_template)

    layers: list[Layer] = []
    heights = torch.zeros(len(s.tights.rest), device=device)
    tights = s.tights.refine @ helper[s.tights.coarse]
    normals = normals_of(s.tights, tights)
    deleted = torch.zeros(len(weights), dtype=torch.bool, device=device)

    suits = [i for i in closet.suits if i.male == male]
    suit = bool(suits) and rng.random() < 0.22
    outfit, extras = sample_outfit(rng, male, suit)
    wears = [o.name for o in outfit] + extras

    def wear(item: Item, material: object) -> None:
        nonlocal heights
        layer = _worn(item, material, s, base, weights, hanging, tights)
        deleted[torch.from_numpy(item.asset.deleted).to(device)] = True
        heights = torch.maximum(heights, asset_height(layer, s, tights, normals))
        layers.append(layer)

    if suit:
        item = suits[rng.integers(len(suits))]
        wears.append(item.asset.name)
        palette = sample_palette(rng)
        for part, use in (("upper", "shirt"), ("lower", "trousers"), ("skirt", "skirt"), ("shoes", "shoes")):
            label = LABEL[part]
            if not (item.label == label).any():
                continue
            cloth: object = sample_fabric(rng, use, palette)
            if item.texture is not None and (label == LABEL["shoes"] or rng.random() < 0.6):
                tint = triple(rng.uniform(0.6, 1.1) * rng.uniform(0.85, 1.1, 3))
                cloth = Texture(item.texture, tint, 0.02, 8.0)
            wear(part_of(item, label), cloth)
        if (item.label == LABEL["shoes"]).any():
            outfit = [o for o in outfit if o.kind != "shoes"]
    shoes = [o for o in outfit if o.name == "shoes"]
    if closet.shoes and shoes and shoes[0].measures["height"] < 0.2 and rng.random() < 0.85:
        item = closet.shoes[rng.integers(len(closet.shoes))]
        outfit = [o for o in outfit if o.kind != "shoes"]
        tint = triple(rng.uniform(0.5, 1.2) * rng.uniform(0.9, 1.1, 3))
        material = Texture(item.texture, tint, 0.04, 30.0) if item.texture is not None else shoes[0].fabric
        wear(item, material)

    garments, hidden, under = dress(outfit, s, plain, helper, joints, heights)
    hidden |= deleted[torch.from_numpy(hm08_indices()[0]).to(device)]
    colour = triple(COLOURS[rng.choice(len(COLOURS), p=SHARE)] * rng.uniform(0.75, 1.3))
    hair = sample_hair(rng, s, closet, male, rest, betas, base, weights, hanging, colour)
    bald = not any(l.label[0] == LABEL["hair"] for l in hair)
    texture, dark = None, False
    if closet.skins:
        sex = [(n, t) for n, t in closet.skins if ("female" in n) != male]
        name, image = sex[rng.integers(len(sex))]
        texture, dark = Texture(image), "dark" in name
    skin = sample_skin(rng, male, colour, bald, texture, dark)
    body = _body_layers(s, rest, hidden, under, skin, sample_eye(rng))
    extra = accessories(rng, s, extras, rest, betas, hair, closet, base, weights, hanging)
    return Person(join([*body, *layers, *garments, *hair, *extra]), betas, expression, male, tuple(wears))


def _worn(item: Item, material: object, s: Surfaces, base: Tensor, weights: Tensor, hanging: Tensor,
          tights: Tensor) -> Layer:  # fmt: skip
    """An asset's garment, with the coordinates for cloth of the tights below it."""
    label = torch.from_numpy(item.label).to(base.device)
    layer = asset_layer(item.asset, s, base, weights, hanging, material, label)
    near = nearest(layer.rest, tights)
    layer.tube, layer.along, layer.limb = s.tights.tube[near], s.tights.along[near], s.tights.limb[near]
    return layer


def _body_layers(s: Surfaces, rest: Tensor, hidden: Tensor, under: Tensor, skin: object, eye: object) -> list[Layer]:
    body, device = s.body, rest.device
    faces = body.face_tensor
    uv, uv_faces = torch.from_numpy(s.uv).to(device), torch.from_numpy(s.uv_faces.astype(np.int64)).to(device)
    segment = torch.from_numpy(body.segment.astype(np.int64)).to(device)
    names = list(body.segment_names)
    eyes = (segment == names.index("eye_front")) | (segment == names.index("eye_back"))
    head = torch.from_numpy(body.vertex_part == PARTS.index("head")).to(device)
    chin = float(body.v_template[:, 1].max()) - 0.235
    of_face = head[faces].all(1) & (s.body_p[:, 1][faces] > chin).all(1)
    zero, tube = torch.zeros(len(rest), device=device), torch.zeros(len(rest), 3, device=device)
    out = []
    for name, keep, material in (("body", ~hidden[faces].all(1) & ~eyes, skin), ("eyes", eyes, eye)):
        label = torch.where(of_face[keep], LABEL["face"], LABEL["skin"]).to(torch.uint8)
        out.append(Layer(name, material, label, faces[keep], rest, body.weights, s.body_p, tube, s.body_p[:, 1],
                         zero.long(), under, uv, uv_faces[keep]))  # fmt: skip
    return out


# --- poses ----------------------------------------------------------------------------------------------------------


def sample_poses(
    rng: np.random.Generator, s: Surfaces, betas: Tensor, n: int, clips: tuple[Motion, ...] = (), varied: bool = False
) -> tuple[Tensor, Tensor]:
    """Poses [n, J, 3] and places [n, 3] on the floor y = 0; hands are relaxed or hold something, heads look around.

    Computed on the CPU: some 500 operations on a few numbers for each pose would each be waited for on a GPU.
    """
    body, poses, places = load_body(), [], []
    for _ in range(n):
        if clips and rng.random() < 0.3:
            clip = clips[rng.integers(len(clips))]
            motion = _frame(rng, clip)
        else:
            motion = varied_posture(rng) if varied else posture(rng)
        pose, place = retarget(motion, body, betas.cpu())
        poses.append(pose[0])
        places.append(place[0])
    pose, place = torch.stack(poses), torch.stack(places)
    relaxed = relaxed_hands(body)
    noise = torch.from_numpy(rng.normal(0, 1, (n, body.num_joints, 3))).float()
    for j, name in enumerate(body.joint_names):
        if any(f in name for f in ("index", "middle", "ring", "pinky", "thumb")):
            continue
        if "eye" in name:
            pose[:, j] = noise[:, j] * pose.new_tensor([0.06, 0.12, 0.0])
        elif j and not any(part in name for part in ("hip", "knee", "ankle", "foot")):
            pose[:, j] += noise[:, j] * 0.035
    for side in ("left", "right"):
        curl = torch.from_numpy(rng.choice([0.4, 1.0, 1.5, 2.6, 4.0], n, p=[0.1, 0.45, 0.25, 0.1, 0.1])).float()
        for j, name in enumerate(body.joint_names):
            if name.startswith(side) and any(f in name for f in ("index", "middle", "ring", "pinky", "thumb")):
                pose[:, j] = relaxed[j] * curl[:, None] + noise[:, j] * 0.05
    device = s.body.v_template.device
    return pose.to(device), place.to(device)


def _frame(rng: np.random.Generator, clip: Motion) -> Motion:
    """A frame of a clip; rarely one of a person who lies or stands on the head."""
    frame = clip
    for _ in range(4):
        t = float(rng.uniform(0, max(clip.duration - 1 / clip.fps, 1e-3)))
        frame = clip.sliced(t, t + 1.01 / clip.fps)
        if float(frame.rotations[0, frame.joint_names.index("pelvis"), 1, 1]) > 0.7 or rng.random() < 0.08:
            break
    return frame


# --- cameras --------------------------------------------------------------------------------------------------------


VARIED_ELEVATION = (-30.0, 45.0)
"""Degrees of camera height that varied cameras draw from; positive looks down."""


def sample_camera(
    rng: np.random.Generator,
    points: Tensor,  # [P, 3] what has to be in the picture
    azimuth: float,  # radians from the person's front, towards their left
    size: int,
    facing: float = 0.0,  # radians: where the person's front points, about y
    varied: bool = False,  # also from far below and above, and from close by
) -> Camera:
    """A random camera at about chest height, slightly tilted, with the whole person in the frame."""
    focal = size * float(np.exp(rng.uniform(math.log(1.0), math.log(2.6))))
    low, high = points.amin(0).cpu().numpy(), points.amax(0).cpu().numpy()
    centre = (low + high) / 2 + np.array([rng.normal(0, 0.03), rng.normal(0, 0.03), 0])
    elevation = math.radians(float(np.clip(rng.normal(2, 7), -18, 32)))
    roll = math.radians(float(rng.normal(0, 1.2)))
    share = rng.uniform(0.74, 0.93)
    if varied and rng.random() < 0.6:
        elevation = math.radians(float(rng.uniform(*VARIED_ELEVATION)))
        focal *= float(rng.uniform(0.75, 1.0))
    a = azimuth + facing
    back = np.array([math.sin(a) * math.cos(elevation), math.sin(elevation), math.cos(a) * math.cos(elevation)])
    z = -back
    x = np.cross(z, [0, 1, 0])
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    x, y = x * math.cos(roll) + y * math.sin(roll), y * math.cos(roll) - x * math.sin(roll)
    R = np.stack([x, y, z])
    p = (points.cpu().numpy() - centre) @ R.T
    # the distance at which every point is within the share of the frame
    reach = np.abs(p[:, :2]).max(1) * focal / (share * size / 2) - p[:, 2]
    eye = centre + back * reach.max()
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, -R @ eye
    return Camera(intrinsics(focal, size, size), torch.from_numpy(T).float(), size, size)


# --- fits are never exact -------------------------------------------------------------------------------------------

MISSED = 0.008  # of the person's height: how far off keypoints are


def perturbed(
    rng: np.random.Generator, s: Surfaces, betas: Tensor, pose: Tensor, transl: Tensor, cameras: list[Camera]
) -> tuple[Tensor, Tensor, Tensor]:
    """Betas, poses and translations with the errors of a fit: limbs off by some degrees, leaning, nearer or farther.

    The perturbed body still covers the person in the picture, as fits do.
    """
    n = len(pose)
    draw = lambda *shape: torch.from_numpy(rng.normal(0, 1, shape)).float().to(pose.device)  # noqa: E731
    spread = torch.zeros(s.body.num_joints, device=pose.device)
    for j, name in enumerate(s.body.joint_names):
        part = name.split("_")[-1]
        spread[j] = {"pelvis": 0.05, "hip": 0.06, "knee": 0.07, "ankle": 0.10, "spine1": 0.04, "spine2": 0.04,
                     "spine3": 0.04, "neck": 0.06, "head": 0.07, "collar": 0.04, "shoulder": 0.08, "elbow": 0.09,
                     "wrist": 0.12}.get(part, 0.08 if part[-1:].isdigit() else 0.0)  # fmt: skip
    off = draw(n, s.body.num_joints, 3) * spread[:, None]
    z = torch.stack([c.T_cam_world[2, :3] for c in cameras]).to(pose.device)
    distance = torch.stack([c.T_cam_world[:3, 3].norm() for c in cameras]).to(pose.device)
    away = z * (draw(n, 1) * 0.015 * distance[:, None])
    K, T = (torch.stack([getattr(c, k) for c in cameras]).to(pose.device) for k in ("K", "T_cam_world"))
    points = _joints(s.body, betas, pose, transl)
    wrong = betas + 0.3 * draw(len(betas))
    return wrong, *laid_over(s.body, wrong, pose + off, transl + draw(n, 3) * 0.006 + away, points, K, T, draw)


def laid_over(
    body: Body,
    betas: Tensor,  # [S]
    pose: Tensor,  # [N, J, 3]
    transl: Tensor,  # [N, 3]
    points: Tensor,  # [N, J, 3] true joints
    K: Tensor,  # [N, 3, 3]
    T: Tensor,  # [N, 4, 4]
    draw: Callable[..., Tensor],  # standard normal numbers of a shape
) -> tuple[Tensor, Tensor]:
    """A pose and place near these whose joints are seen where keypoints would be found: near the true ones."""
    main = [j for j, name in enumerate(body.joint_names) if not name[-1].isdigit()]
    true, _ = project(points[:, main], K, T)
    height = (true[..., 1].amax(1) - true[..., 1].amin(1)).clamp(min=1)[:, None, None]
    detected = true + draw(*true.shape) * MISSED * height
    pose, transl = pose.clone().requires_grad_(), transl.clone().requires_grad_()
    adam = torch.optim.Adam([pose, transl], lr=0.02)
    with torch.enable_grad():
        for _ in range(30):
            xy, _ = project(_joints(body, betas, pose, transl)[:, main], K, T)
            adam.zero_grad()
            ((xy - detected) / height).square().sum().backward()
            adam.step()
    return pose.detach(), transl.detach()


def _joints(body: Body, betas: Tensor, pose: Tensor, transl: Tensor) -> Tensor:  # [n, J, 3], without the skin
    rest = body.rest_joints(body.coefficients(betas[None]))
    return body.skinning(rest.expand(len(pose), -1, -1), pose, transl)[1]
