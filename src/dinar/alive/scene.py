"""The avatar in its photo: drawn by the photo's camera with the photo's own pixels, over the background behind it.

What the photo shows of the person is moved with the surface it lies on, soft edges of hair and cloth included; what it
does not show has the avatar's texture. So in the photo's pose the picture is the photo. Of a person who stands, only
the arms that move are drawn: the rest is the photo, bent (standing.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ..avatar import Avatar
from ..body.body import PARTS
from ..body.motion import Motion
from ..fit.fit_file import Fit
from ..labels import CLASSES
from ..scene import Camera, interpolate, rasterize_mesh, vertex_normals
from ..scene.textured import render_textured, to_uint8
from ..subject import Subject
from .background import without
from .poses import from_photo, legs_move, moving_arms, side_of_arm
from .standing import behind_arms, joined, nearest, swayed

SAMPLES = 2  # subpixels a side
COLUMNS = 1024  # of OpenCV's maps, whose sides are limited
FRONTAL = 0.15, 0.45  # cosine to the camera from which the photo's pixels begin to count, and count alone
NEAR = 0.03  # metres behind the surface that the photo shows: still shown
GROW = 0.006  # of the person's height: how much wider the hole is than the person
GROW_ARM = 0.02  # likewise around an arm that will move: the mesh's arm may lie beside it
CLOSED = 0.06  # likewise of the body behind that arm: between its parts
BESIDE = 0.03, 0.012  # likewise: and next to them, at the upper arm and at the forearm
EDGE = 0.15, 0.03  # of the person's height: how far hair, cloth and what is held may lie outside of the mesh; of arms
SOLID = 0.005, 0.01  # likewise inside the outline of an arm: the photo's outline may still cut it, and not
SPECK = 0.02  # likewise: what lies beside an arm without touching it, and is smaller, is not drawn
PULL = 0.02  # skin weight of an arm's joints from which on a point is drawn with the arm
STILL = 0.3, 0.8  # pixels: what moved less is the photo itself, what moved further is drawn
FADE = 0.3  # seconds from the photo to the composed picture
SHADOW, SOLE, SOFT = 0.35, 0.07, 0.03  # darkness; of the body's height: what stands on the ground; softness
GRAIN = 1 / 255  # standard deviation: noise of a photo below this is not imitated


@dataclass
class Layer:
    """What the photo shows of the arms that will move, or of the rest of the person."""

    rgba: np.ndarray  # [H, W, 4] float32 in [0, 1], straight alpha
    beside: np.ndarray  # [H, W] float32: of the alpha what lies outside of the mesh, hair and cloth


@dataclass
class Scene:
    """A photo taken apart."""

    avatar: Avatar
    camera: Camera  # of the photo, H x W
    photo: np.ndarray  # [H, W, 3] float32 in [0, 1]
    layers: tuple[Layer, Layer]  # the rest, the arms
    background: np.ndarray  # [H, W, 3] float32: the photo without the person
    untouched: np.ndarray  # [H, W] bool: the background is the photo
    arms: np.ndarray  # [V] bool: vertices of the arms that will move
    pulled: np.ndarray  # [V] bool: these, and what they pull along at the shoulder
    place: np.ndarray  # [V, 2] where every vertex is in the photo, pixels
    shown: np.ndarray  # [V] float32 in [0, 1]: its layer shows the vertex
    frontal: np.ndarray  # [V] float32 in [0, 1]: and shows it well
    owner: np.ndarray  # [H, W] bool: the nearest point of the person is of those arms
    bent: np.ndarray | None  # [H, W, 3] float32: of a person who stands, the photo without the arms that will move
    person: np.ndarray  # [H, W] bool
    height: float  # of the person, pixels
    grain: np.ndarray  # [H, W, 1] float32: noise like the photo's
    ground: np.ndarray  # [H, W] float32: the shadow under the feet


def take_apart(avatar: Avatar, subject: Subject, fit: Fit, motion: Motion) -> Scene:
    """What is needed to draw the photo (as it was read) with its person in the motion."""
    rgb, alpha, camera, body = subject.rgb, with_held(subject), fit.camera, avatar.body
    v = avatar.vertices()
    sides = moving_arms(avatar, motion)
    moving = [PARTS.index(f"{side}_{p}") for side in sides for p in ("arm", "hand")]
    arms = np.isin(body.vertex_part, moving)
    weight = body.weights[:, [j for j, n in enumerate(body.joint_names) if side_of_arm(n) in sides]].sum(1).numpy()
    f = rasterize_mesh(v, body.faces, camera)
    covered = f.mask[0].numpy()
    i, j = nearest(covered)
    owner = np.where(covered, arms[body.faces[f.face[0].numpy().clip(0), 0]], False)[i, j]
    height = float(np.ptp(np.nonzero(alpha > 0.5)[0]))
    hole = _grown(alpha > 0.05, GROW * height)
    behind = _grown((alpha > 0.05) & owner, GROW_ARM * height)
    inner = cv2.erode(covered.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    photo = rgb.astype(np.float32) / 255
    arm = (alpha * owner).astype(np.float32)
    beside = np.where(behind | inner, 0, alpha).astype(np.float32)
    fore = body.weights[:, [j for j, n in enumerate(body.joint_names) if side_of_arm(n) and not _is_upper(n)]].sum(1)
    lower = (fore.numpy() > 0.5)[body.faces[f.face[0].numpy().clip(0), 0]][i, j]
    rest = np.where(behind, _reach((alpha > 0.5) & ~behind, lower, height), alpha).astype(np.float32)
    layers = (Layer(np.dstack([photo, rest]), beside), Layer(np.dstack([photo, arm]), arm * ~inner))
    towards = torch.nn.functional.normalize(camera.position - v, dim=1)
    cosine = (vertex_normals(v, body.faces) * towards).sum(1).numpy()
    place = camera.project(v)[0].numpy()
    x, y = np.clip(np.floor(place).astype(int), 0, [camera.width - 1, camera.height - 1]).T
    hidden = ~arms & behind[y, x]
    shown = (cosine > 0) & (hidden | _visible(v, body.faces, camera))
    frontal = (shown & ~hidden) * np.clip((cosine - FRONTAL[0]) / (FRONTAL[1] - FRONTAL[0]), 0, 1)
    sigma = noise(rgb) if noise(rgb) > GRAIN else 0.0
    grain = np.random.default_rng(0).normal(0, sigma, (*alpha.shape, 1)).astype(np.float32)
    background = without(rgb, hole).astype(np.float32) / 255
    bent = None
    if not legs_move(avatar, motion):
        rest_behind = behind_arms(avatar, camera, arms, rest, background + grain)
        bent = joined(photo, rest_behind, behind)
    return Scene(avatar, camera, photo, layers, background, ~hole, arms, arms | (weight > PULL), place,
                 shown.astype(np.float32), frontal.astype(np.float32), owner, bent, alpha > 0.5, height, grain,
                 _ground(camera, v, height))  # fmt: skip


def _reach(mask: np.ndarray, lower: np.ndarray, height: float) -> np.ndarray:
    """[H, W] float32: the mask with what lies between its parts, or next to it: the body behind an arm."""
    closed = cv2.erode(_grown(mask, CLOSED * height).astype(np.uint8), _disk(CLOSED * height)) > 0
    beside = np.where(lower, *(_grown(mask, share * height) for share in BESIDE[::-1]))
    return cv2.GaussianBlur((closed | beside).astype(np.float32), (0, 0), 1.5)


def _is_upper(joint: str) -> bool:
    """Whether a joint of an arm moves the upper arm."""
    return joint.endswith(("collar", "shoulder"))


def _visible(v: Tensor, faces: np.ndarray, camera: Camera) -> np.ndarray:
    """[V] bool: vertices that faces do not hide."""
    f = rasterize_mesh(v, faces, camera)
    xy, depth = camera.project(v)
    at = np.clip(np.floor(xy.numpy()).astype(int), 0, [camera.width - 1, camera.height - 1])
    far = np.where(f.mask[0].numpy(), f.depth[0].numpy(), -np.inf).astype(np.float32)
    limit = cv2.dilate(far, np.ones((3, 3), np.uint8))[at[:, 1], at[:, 0]]  # of the pixels around: outlines
    return ~np.isfinite(limit) | (depth.numpy() < limit + NEAR)


def _grown(mask: np.ndarray, radius: float) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), _disk(radius)) > 0


def _disk(radius: float) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(2, round(radius)) + 1,) * 2)


def with_held(subject: Subject) -> np.ndarray:
    """[H, W] float32: the person's alpha, with bags and what hangs over an arm."""
    if subject.labels is None:
        return subject.alpha
    bag = cv2.dilate((subject.labels == CLASSES.index("bag")).astype(np.float32), np.ones((3, 3)))
    return np.maximum(subject.alpha, cv2.GaussianBlur(bag, (0, 0), 1.0))


def noise(rgb: np.ndarray) -> float:
    """Standard deviation of the noise of a photo [H, W, 3] uint8, of 1: from the quietest parts (Immerkær 1996)."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    found = cv2.blur(np.abs(cv2.filter2D(grey, -1, kernel)), (15, 15))
    return float(np.quantile(found, 0.1)) * np.sqrt(np.pi / 2) / 6 / 255


def frames(scene: Scene, motion: Motion) -> Iterator[np.ndarray]:
    """[H, W, 3] uint8: the first and the last are the photo."""
    pose, transl = from_photo(scene.avatar, motion)
    fade = max(1, round(FADE * motion.fps))
    for k in range(len(pose)):
        composed = compose(scene, pose[k], transl[k])
        share = min(1.0, min(k, len(pose) - 1 - k) / fade)
        yield to_uint8(scene.photo + share * (composed - scene.photo))


def compose(scene: Scene, pose: Tensor, transl: Tensor) -> np.ndarray:
    """[H, W, 3] float32: the photo with its person in a pose [J, 3], transl [3]."""
    v, turn = _posed(scene.avatar, pose, transl)
    if scene.bent is not None:
        points = (scene.shown > 0) & ~scene.arms
        now = scene.camera.project(v)[0].numpy()
        picture = swayed(scene.bent, scene.place[points], now[points], scene.person, scene.height)
        return with_person(scene, picture, v, turn, arms_alone=True) if scene.arms.any() else picture
    shadow = np.clip(_ground(scene.camera, v, scene.height) - scene.ground, 0, 1)
    picture = (1 - SHADOW * shadow[..., None]) * scene.background + ~scene.untouched[..., None] * scene.grain
    return with_person(scene, picture, v, turn)


def with_person(
    scene: Scene,
    picture: np.ndarray,  # [H, W, 3] float32, is changed
    v: Tensor,  # [V, 3]
    turn: np.ndarray,  # [V, 2]
    arms_alone: bool = False,
) -> np.ndarray:
    """[H, W, 3] float32: the picture with the person over it."""
    box, colour, alpha, own, still = person(scene, v, turn, arms_alone)
    made = np.clip(alpha - own, 0, 1)[..., None] * scene.grain[box]
    drawn = colour + made + (1 - alpha[..., None]) * picture[box]
    picture[box] = drawn + still[..., None] * (scene.photo[box] - drawn)
    return picture


def _posed(a: Avatar, pose: Tensor, transl: Tensor) -> tuple[Tensor, np.ndarray]:
    """Vertices [V, 3], and how far each has turned in the picture since the photo: cosine and sine [V, 2]."""
    rotation = lambda p, t: a.body(a.betas[None], p[None], t[None]).skinning[0, :, :3, :3]  # noqa: E731
    R = rotation(pose, transl) @ rotation(a.pose, a.transl).mT
    C = a.camera.T_cam_world[:3, :3]
    R = C @ R @ C.T
    turn = torch.stack([R[:, 0, 0] + R[:, 1, 1], R[:, 1, 0] - R[:, 0, 1]], 1)
    turn = torch.nn.functional.normalize(a.body.weights @ turn, dim=1)
    return a.vertices(pose, transl), turn.numpy()


def person(
    scene: Scene, v: Tensor, turn: np.ndarray, arms_alone: bool = False
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The box of the picture that holds the person with vertices v [V, 3], and in it: colours times alpha [h, w, 3],
    alpha [h, w], how much of it is the photo's own pixels [h, w], and how much of each pixel has not moved since the
    photo [h, w]; float32."""
    a, camera = scene.avatar, scene.camera
    box = _box(camera, v[scene.pulled] if arms_alone else v, EDGE[0] * scene.height)
    y0, x0, h, w = box[0].start, box[1].start, box[0].stop - box[0].start, box[1].stop - box[1].start
    fine = camera.crop(x0, y0, SAMPLES, h * SAMPLES, w * SAMPLES)
    atlas = a.body.atlas
    f = rasterize_mesh(v, a.body.faces, fine)
    drawn = render_textured(v, a.body.faces, atlas.uv, atlas.faces, a.rgb, fine, samples=1)
    known = np.column_stack([scene.place, scene.shown, scene.frontal, turn, scene.arms, scene.pulled])
    found = interpolate(f, torch.from_numpy(known.astype(np.float32)), a.body.faces)[0].numpy()
    mask = f.mask[0].numpy()
    solid = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)

    # Beside the mesh: hair, cloth and what is held, moved and turned with the nearest point of the mesh.
    i, j = nearest(mask)
    yy, xx = np.mgrid[: h * SAMPLES, : w * SAMPLES].astype(np.float32)
    dx, dy = (xx - j.astype(np.float32)) / SAMPLES, (yy - i.astype(np.float32)) / SAMPLES
    arm = found[i, j, 6] > 0.5
    reach = np.where(arm, EDGE[1], EDGE[0]).astype(np.float32) * np.float32(scene.height)
    near = np.clip(2 - 2 * np.hypot(dx, dy) / reach, 0, 1)
    on = (near > 0) & (arm | (found[..., 7] > 0)) if arms_alone else near > 0
    near, arm, dx, dy, xx, yy, covered = (m[on] for m in (near, arm, dx, dy, xx, yy, mask))
    x, y, shown, frontal, c, s, _, pulled = found[i[on], j[on]].T
    x, y = x + c * dx + s * dy, y - s * dx + c * dy
    rest, arms = (_at(layer.rgba, x, y) for layer in scene.layers)
    photo = np.where(arm[:, None], arms, rest)
    matte, beside = photo[:, 3], np.where(arm, *(_at(layer.beside, x, y) for layer in scene.layers[::-1]))

    share = covered * frontal * np.clip(5 * matte - 4, 0, 1)
    colour = drawn[on][:, :3]
    colour += share[:, None] * (photo[:, :3] - colour)
    depth = solid[on] / (SAMPLES * scene.height)
    cut = np.where(arm, np.clip((SOLID[1] - depth) / (SOLID[1] - SOLID[0]), 0, 1), 1)
    outside = np.where(arm, shown, 1)  # the photo says what is no person; arms turn sides to us that it does not show
    alpha = covered * (1 - cut * outside * (1 - np.clip(2 * matte, 0, 1)))
    rim = near * beside * (1 - alpha)
    if arms_alone:
        alpha, rim = alpha * (pulled > 0), rim * arm
        whole, core = (_spread(m, on) for m in (alpha + rim, covered & arm))
        rim = rim * _touching(whole, core > 0, SPECK * scene.height * SAMPLES)[on]
    total = colour * alpha[:, None] + photo[:, :3] * rim[:, None]
    moved = np.hypot(x - x0 - (xx + 0.5) / SAMPLES, y - y0 - (yy + 0.5) / SAMPLES)
    same = scene.owner[box][yy.astype(int) // SAMPLES, xx.astype(int) // SAMPLES]
    still = (same == arm) * np.clip((STILL[1] - moved) / (STILL[1] - STILL[0]), 0, 1)
    own = share * alpha + rim
    layers = _spread(np.column_stack([total, alpha + rim, own, still]), on)
    layers = layers.reshape(h, SAMPLES, w, SAMPLES, 6).mean((1, 3))
    return box, layers[..., :3], layers[..., 3], layers[..., 4], layers[..., 5]


def _spread(values: np.ndarray, on: np.ndarray) -> np.ndarray:
    """[h, w, ...] float32 with values [N, ...] where on [h, w] bool, 0 elsewhere."""
    out = np.zeros((*on.shape, *values.shape[1:]), np.float32)
    out[on] = values
    return out


def _box(camera: Camera, v: Tensor, border: float) -> tuple[slice, slice]:
    """Rows and columns of the picture around vertices."""
    xy = camera.project(v)[0].numpy()
    size = np.array([camera.width, camera.height])
    low = np.clip(np.floor(xy.min(0) - border), 0, size - 1).astype(int)
    high = np.clip(np.ceil(xy.max(0) + border), low + 1, size).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _touching(alpha: np.ndarray, core: np.ndarray, width: float) -> np.ndarray:
    """[h, w] bool: without the pieces that lie beside the core, and hang on it by less than a width in pixels."""
    solid = (alpha > 0.3).astype(np.uint8)
    opened = (cv2.morphologyEx(solid, cv2.MORPH_OPEN, _disk(width / 4)) > 0) | ((solid > 0) & core)
    _, label = cv2.connectedComponents(opened.astype(np.uint8), connectivity=4)
    kept = np.unique(label[core & opened])
    return _grown(np.isin(label, kept[kept > 0]), width / 4)


def _ground(camera: Camera, v: Tensor, height: float) -> np.ndarray:
    """[H, W] float32 in [0, 1]: the soft shadow of what stands on the ground, which is where the lowest point is."""
    low, high = float(v[:, 1].min()), float(v[:, 1].max())
    sole = v[v[:, 1] < low + SOLE * (high - low)] * v.new_tensor([1, 0, 1]) + v.new_tensor([0, low, 0])
    x, y = camera.project(sole)[0].numpy().round().astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
    mask = np.zeros((camera.height, camera.width), np.float32)
    mask[y[inside], x[inside]] = 1
    size = SOFT * height
    mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(size / 3)) + 1,) * 2))
    return cv2.GaussianBlur(mask, (0, 0), max(1.0, size / 2))


def _at(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The image at places [N] in pixels (centres at .5), float32."""
    number, rows = len(x), -(-len(x) // COLUMNS)
    x, y = (np.resize(v.astype(np.float32) - 0.5, (rows, COLUMNS)) for v in (x, y))
    found = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(rows * COLUMNS, *image.shape[2:])[:number]
