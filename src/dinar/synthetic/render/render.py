"""Render a figure with colour, alpha, parsing classes, normals and depth.

Deferred shading: one raster with 2 × 2 samples for each pixel; cloth is shaded once for a pixel inside a garment and
once for a sample at its edges. Hair and brows are depth-peeled in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...scene import Camera, rasterize, vertex_normals
from ..garments.figure import Figure, Standing
from .light import Light, ambient, open_sky, sun_map, sunlit
from .materials import Points, respond

SAMPLES, PEELS = 2, 5
POKE, THROUGH = 0.008, 0.03
"""Skin pokes through where it is seen so many metres inside of a hem, and the outer side of cloth lies less than so
many behind it: what is seen through a wide cuff does not count."""


@dataclass
class Shot:
    """B pictures of one figure. Linear RGB."""

    rgb: Tensor  # [B, H, W, 3] float32 premultiplied by alpha
    alpha: Tensor  # [B, H, W] float32 in [0, 1]
    label: Tensor  # [B, H, W] uint8
    normal: Tensor  # [B, H, W, 3] float32 in the camera's frame, 0 outside
    depth: Tensor  # [B, H, W] float32 metres, 0 outside
    ground: Tensor  # [B, G, G, 3] light on the floor around the person, a share of what falls there without them
    poked: Tensor  # [B, H, W] bool: the body where it should be under cloth
    surface: Tensor | None = None  # [B, H, W, 3] uint8 views.encode_surface


GRID, SPAN = 40, 2.2  # the floor's light: points a side, metres


@torch.no_grad()
def render(figure: Figure, standing: Standing, cameras: list[Camera], light: Light, floor: float) -> Shot:
    """B pictures at once on a GPU; on a CPU, view by view is faster (caches)."""
    v, device = standing.vertices, standing.vertices.device
    B, H, W = len(v), cameras[0].height, cameras[0].width
    h, w = H * SAMPLES, W * SAMPLES
    n = vertex_normals(v, figure.faces)
    centre = v.mean(1)
    T = torch.stack([c.T_cam_world for c in cameras]).to(device)
    K = torch.stack([c.resized(h, w).K for c in cameras]).to(device)
    q = v @ T[:, :3, :3].mT + T[:, None, :3, 3]
    z = q[..., 2]
    xy = (q[..., :2] / z.clamp(min=1e-6)[..., None]) @ K[:, :2, :2].mT + K[:, None, :2, 2]

    # --- light ---
    g = torch.linspace(-SPAN, SPAN, GRID, device=device)
    ground = torch.stack(torch.meshgrid(g, torch.zeros(1, device=device), g, indexing="ij"), -1).reshape(1, -1, 3)
    ground = ground + torch.stack([centre[:, 0], torch.full((B,), floor, device=device), centre[:, 2]], 1)[:, None]
    up = torch.zeros_like(ground)
    up[..., 1] = 1
    lit = ambient(light, v, figure.casters, torch.cat([v, ground], 1), torch.cat([n, up], 1), centre)
    shadows = sun_map(light, v, figure.casters, centre)
    free = open_sky(light, up[0, 0])
    image = torch.arange(B, device=device).repeat_interleave(GRID * GRID)
    sun = v.new_tensor(light.sun_rgb) * max(light.sun[1], 0.0)
    reach = sunlit(light, shadows, ground.reshape(-1, 3), up.reshape(-1, 3), image, centre).view(B, -1, 1)
    shade = (lit[:, v.shape[1] :] + sun * reach) / (free + sun).clamp(min=1e-3)
    shade = shade.clamp(0, 1).view(B, GRID, GRID, 3)
    posed = torch.cat([v, n, lit[:, : v.shape[1]], standing.across, standing.up], 2).reshape(B * v.shape[1], 15)

    def points(face: Tensor, bary: Tensor, picture: Tensor) -> Points:
        corner = figure.faces[face]

        def mix(a: Tensor, c: Tensor) -> Tensor:  # three reads are twice as fast as one of [N, 3, k]
            out = a.index_select(0, c[:, 0]) * bary[:, :1]
            for k in (1, 2):
                out.addcmul_(a.index_select(0, c[:, k]), bary[:, k : k + 1])
            return out

        p = mix(posed, corner + (picture * v.shape[1])[:, None])
        static = mix(figure.attributes, corner)
        main = corner.gather(1, bary.argmax(1, keepdim=True))[:, 0]
        limb = figure.limb[corner]
        one = (limb == limb[:, :1]).all(1)[:, None]
        tube = torch.where(one, static[:, 3:6], figure.attributes[main, 3:6])
        eye = -(T[:, :3, :3].mT @ T[:, :3, 3, None])[:, :, 0]
        view = eye[picture] - p[:, :3]
        distance = view.norm(dim=1)
        view = view / distance[:, None]
        normal = normalize(p[:, 3:6], dim=1)
        side = torch.where((normal * view).sum(1) < 0, -1.0, 1.0)
        return Points(
            position=p[:, :3], normal=normal * side[:, None], view=view, ambient=p[:, 6:9],
            across=p[:, 9:12], up=p[:, 12:15], p=static[:, :3], tube=tube, along=static[:, 6], hem=static[:, 7],
            limb=figure.limb[main], uv=mix(figure.uv, figure.uv_faces[face]),
            footprint=distance / K[picture, 0, 0] * SAMPLES, picture=picture,
        )  # fmt: skip

    def lights(pts: Points) -> Tensor:
        return sunlit(light, shadows, pts.position, pts.normal, pts.picture, centre)

    def shade_points(face: Tensor, bary: Tensor, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Colours [P, 3] and opacity [P] of points by the material of their layer."""
        pts = points(face, bary, picture)
        reach = lights(pts)
        colour, opacity = torch.zeros_like(pts.position), torch.ones_like(pts.along)
        which = figure.face_layer[face]
        for k in range(len(figure.layers)):
            i = (which == k).nonzero()[:, 0]
            if len(i):
                colour[i], opacity[i] = respond(figure.layers[k].material, pts.at(i), light, reach[i])
        return colour, opacity

    # --- opaque layers, in the window that the person takes ---
    out = _Window.around(xy, torch.ones_like(z, dtype=torch.bool), H, W)
    solid = figure.faces[: figure.opaque]
    f = rasterize(xy - out.corner.to(device), z, _faces(solid), out.h, out.w, cull="none")
    face, deep = out.blocks(f.face), out.blocks(f.depth)
    seen = face >= 0
    layer = torch.where(seen, figure.face_layer[face.clamp(min=0).long()], -1)
    whole = (layer == layer[:, :1]).all(1) & seen[:, 0] & (deep.amax(1) - deep.amin(1) < 0.03)

    # --- hair in front of it ---
    through = torch.ones_like(deep)  # what each sample lets through
    haired = torch.zeros(len(deep), 3, device=device)
    hair_depth, hair_face = torch.full_like(deep, torch.inf), torch.full_like(face, -1)
    cards, behind = figure.faces[figure.opaque :], None
    if len(cards):
        hair = torch.zeros(v.shape[1], dtype=torch.bool, device=device)
        hair[cards.reshape(-1)] = True
        near = _Window.around(xy, hair.expand(B, -1), H, W).within(out)
        place = near.places_in(out, B).to(device)
        for _ in range(PEELS):
            c = rasterize(xy - near.corner.to(device), z, _faces(cards), near.h, near.w, cull="none", behind=behind)
            behind = c.depth
            blocks, faces = near.blocks(c.depth), near.blocks(c.face)
            at, sample = ((faces >= 0) & (blocks - 0.003 < deep[place]) & (through[place] > 0.02)).nonzero().unbind(1)
            if not len(at):
                break
            pixel, distance, which = place[at], blocks[at, sample], faces[at, sample].long() + figure.opaque
            b = c.barycentrics.reshape(-1, 3)[near.flat(at, sample)]
            colour, a = shade_points(which, b, out.picture(pixel))
            t = through[pixel, sample]
            haired.index_add_(0, pixel, colour * (a * t / SAMPLES**2)[:, None])
            through[pixel, sample] = t * (1 - a)
            first = (t * a > 0.3) & ~hair_depth[pixel, sample].isfinite()
            hair_depth[pixel[first], sample[first]] = distance[first]
            hair_face[pixel[first], sample[first]] = which[first].to(hair_face.dtype)

    # --- shade what is opaque ---
    inner, (edge, corner) = whole.nonzero()[:, 0], (seen & ~whole[:, None]).nonzero().unbind(1)
    pixel, sample = torch.cat([inner, edge]), torch.cat([torch.zeros_like(inner), corner])
    bary = f.barycentrics.reshape(-1, 3)
    share = torch.cat([through[inner].mean(1), through[edge, corner] / SAMPLES**2])
    colour, _ = shade_points(face[pixel, sample].long(), bary[out.flat(pixel, sample)], out.picture(pixel))
    rgb = haired.index_add(0, pixel, colour * share[:, None])
    alpha = 1 - (through * ~seen).mean(1)

    front = torch.where(hair_face >= 0, hair_face, face).long()
    front = torch.where(front[:, -1] >= 0, front[:, -1], front.amax(1))  # edges may miss the one sample that is asked
    label = torch.where((front >= 0) & (alpha >= 0.5), figure.face_label[front.clamp(min=0)], 0)
    on = seen[:, -1].nonzero()[:, 0]
    picture = out.picture(on)
    corner = figure.faces[face[on, -1].long()] + (picture * v.shape[1])[:, None]
    b = bary[out.flat(on, torch.full_like(on, SAMPLES**2 - 1))]
    world = normalize((n.reshape(-1, 3)[corner] * b[..., None]).sum(1), dim=1)
    facing = (T[picture, :3, :3] @ world[:, :, None])[:, :, 0]
    facing = facing * torch.where(facing[:, 2:] > 0, -1.0, 1.0)
    normal = torch.zeros(len(deep), 3, device=device).index_copy(0, on, facing)
    body = torch.tensor([l.name == "body" for l in figure.layers], device=device)[figure.face_layer]
    under = (figure.attributes[:, 7][figure.faces] > POKE).all(1) & body
    poked = (front >= 0) & under[front.clamp(min=0)]
    if poked.any():
        cloth = figure.faces[: figure.opaque][~body[: figure.opaque]]
        c = rasterize(xy - out.corner.to(device), z, _faces(cloth), out.h, out.w)
        poked &= out.blocks(c.depth)[:, -1] - deep[:, -1] < THROUGH
    depth = torch.minimum(hair_depth, deep)
    depth = torch.where(depth[:, -1].isfinite(), depth[:, -1], depth.amin(1))
    depth = torch.where(depth.isfinite() & (label > 0), depth, 0)
    paste = lambda a: out.paste(a, B, H, W)  # noqa: E731
    return Shot(
        paste(rgb), paste(alpha), paste(label.to(torch.uint8)), paste(normal), paste(depth), shade, paste(poked)
    )


@dataclass(frozen=True)
class _Window:
    """A rectangle of all B pictures, in pixels; samples are counted from its corner."""

    x0: int
    y0: int
    width: int
    height: int

    @staticmethod
    def around(xy: Tensor, which: Tensor, height: int, width: int) -> _Window:
        """What holds the sample coordinates ``xy`` [B, V, 2] of some vertices [B, V]."""
        p = xy[which]
        low, high = (p.amin(0) / SAMPLES - 1).floor().tolist(), (p.amax(0) / SAMPLES + 2).ceil().tolist()
        x0, y0 = (int(min(max(a, 0), n - 1)) for a, n in zip(low, (width, height), strict=True))
        x1, y1 = (int(min(max(a, b + 1), n)) for a, b, n in zip(high, (x0, y0), (width, height), strict=True))
        return _Window(x0, y0, x1 - x0, y1 - y0)

    def within(self, other: _Window) -> _Window:
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1 = min(self.x0 + self.width, other.x0 + other.width)
        y1 = min(self.y0 + self.height, other.y0 + other.height)
        return _Window(x0, y0, max(1, x1 - x0), max(1, y1 - y0))

    @property
    def corner(self) -> Tensor:
        return torch.tensor([self.x0 * SAMPLES, self.y0 * SAMPLES], dtype=torch.float32)

    @property
    def h(self) -> int:
        return self.height * SAMPLES

    @property
    def w(self) -> int:
        return self.width * SAMPLES

    def blocks(self, a: Tensor) -> Tensor:
        """[B * height * width, SAMPLES²] the samples of each pixel, from [B, h, w]."""
        return torch.stack([a[:, i::SAMPLES, j::SAMPLES] for i in range(SAMPLES) for j in range(SAMPLES)], -1).view(
            -1, SAMPLES**2
        )

    def picture(self, pixel: Tensor) -> Tensor:
        return pixel // (self.height * self.width)

    def flat(self, pixel: Tensor, sample: Tensor) -> Tensor:
        """Index into the raster's samples."""
        x, row = pixel % self.width, pixel // self.width  # rows of all pictures below each other
        return (row * SAMPLES + sample // SAMPLES) * self.w + x * SAMPLES + sample % SAMPLES

    def places_in(self, other: _Window, batch: int) -> Tensor:
        """[B * height * width] this window's pixels, counted as the other's."""
        y = torch.arange(self.height)[:, None] + self.y0 - other.y0
        x = torch.arange(self.width)[None] + self.x0 - other.x0
        one = (y * other.width + x).reshape(1, -1)
        return (one + (torch.arange(batch) * other.height * other.width)[:, None]).reshape(-1)

    def paste(self, a: Tensor, batch: int, height: int, width: int) -> Tensor:
        """[B, height, width, ...] the window's pixels in the whole pictures, zero around."""
        out = a.new_zeros(batch, height, width, *a.shape[1:])
        out[:, self.y0 : self.y0 + self.height, self.x0 : self.x0 + self.width] = a.view(
            batch, self.height, self.width, *a.shape[1:]
        )
        return out


def _faces(faces: Tensor):
    return faces.int().numpy() if faces.device.type == "cpu" else faces
