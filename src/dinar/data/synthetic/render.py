"""Pictures of a figure with everything that training needs: colour, alpha, classes, normals, depth.

Deferred: one raster at 2 x 2 samples a pixel, shading once a pixel inside a garment and once a sample at its edges;
hair and brows are peeled off in front of it, layer by layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...scene import Camera, rasterize, vertex_normals
from .figure import Figure, Standing
from .light import Light, ambient, sun_map, sunlit
from .materials import Points, respond

SAMPLES, PEELS = 2, 5
POKE = 0.008  # metres inside a hem from where on visible skin counts as poking through


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


GRID, SPAN = 40, 2.2  # the floor's light: points a side, metres


@torch.no_grad()
def render(figure: Figure, standing: Standing, cameras: list[Camera], light: Light, floor: float) -> Shot:
    """All views at once on a GPU; on a CPU call it view by view (caches)."""
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
    free = ambient(light, v, figure.casters[:0], ground[:1, :1], up[:1, :1], centre[:1])[0, 0]
    image = torch.arange(B, device=device).repeat_interleave(GRID * GRID)
    sun = v.new_tensor(light.sun_rgb) * max(light.sun[1], 0.0)
    reach = sunlit(light, shadows, ground.reshape(-1, 3), up.reshape(-1, 3), image, centre).view(B, -1, 1)
    shade = (lit[:, v.shape[1] :] + sun * reach) / (free + sun).clamp(min=1e-3)
    shade = shade.clamp(0, 1).view(B, GRID, GRID, 3)
    posed = torch.cat([v, n, lit[:, : v.shape[1]], standing.across, standing.up], 2).reshape(B * v.shape[1], 15)

    def points(face: Tensor, bary: Tensor, picture: Tensor) -> Points:
        corner = figure.faces[face]
        mix = lambda a, c: (a[c] * bary[..., None]).sum(1)  # noqa: E731
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
        """Colours [P, 3] and opacity [P], each layer by its material."""
        pts = points(face, bary, picture)
        reach = lights(pts)
        colour, opacity = torch.zeros_like(pts.position), torch.ones_like(pts.along)
        which = figure.face_layer[face]
        for k in range(len(figure.layers)):
            i = (which == k).nonzero()[:, 0]
            if len(i):
                colour[i], opacity[i] = respond(figure.layers[k].material, pts.at(i), light, reach[i])
        return colour, opacity

    # --- opaque layers ---
    solid = figure.faces[: figure.opaque]
    f = rasterize(xy, z, _faces(solid), h, w, cull="none")
    face = f.face.view(B, H, SAMPLES, W, SAMPLES).permute(0, 1, 3, 2, 4).reshape(B * H * W, SAMPLES**2)
    deep = f.depth.view(B, H, SAMPLES, W, SAMPLES).permute(0, 1, 3, 2, 4).reshape(B * H * W, SAMPLES**2)
    bary = f.barycentrics.view(B, H, SAMPLES, W, SAMPLES, 3).permute(0, 1, 3, 2, 4, 5).reshape(-1, SAMPLES**2, 3)
    seen = face >= 0
    layer = torch.where(seen, figure.face_layer[face.clamp(min=0).long()], -1)
    whole = (layer == layer[:, :1]).all(1) & seen[:, 0] & (deep.amax(1) - deep.amin(1) < 0.03)

    # --- hair in front of it ---
    through = torch.ones_like(deep)  # what each sample lets through
    haired = torch.zeros(B * H * W, 3, device=device)
    cards = figure.faces[figure.opaque :]
    hair_depth = torch.full_like(deep, torch.inf)
    hair_face = torch.full_like(face, -1)
    if len(cards):
        behind = None
        for _ in range(PEELS):
            c = rasterize(xy, z, _faces(cards), h, w, cull="none", behind=behind)
            behind = c.depth
            blocks = c.depth.view(B, H, SAMPLES, W, SAMPLES).permute(0, 1, 3, 2, 4).reshape(-1, SAMPLES**2)
            at = ((blocks - 0.003 < deep) & (through > 0.02) & blocks.isfinite()).nonzero()
            if not len(at):
                break
            pixel, sample = at.unbind(1)
            cf = c.face.view(B, H, SAMPLES, W, SAMPLES).permute(0, 1, 3, 2, 4).reshape(-1, SAMPLES**2)[pixel, sample]
            cb = c.barycentrics.view(B, H, SAMPLES, W, SAMPLES, 3).permute(0, 1, 3, 2, 4, 5)
            cb = cb.reshape(-1, SAMPLES**2, 3)[pixel, sample]
            colour, a = shade_points(cf.long() + figure.opaque, cb, pixel // (H * W))
            t = through[pixel, sample]
            haired.index_add_(0, pixel, colour * (a * t / SAMPLES**2)[:, None])
            through[pixel, sample] = t * (1 - a)
            first = (t * a > 0.3) & ~hair_depth[pixel, sample].isfinite()
            hair_depth[pixel[first], sample[first]] = blocks[pixel, sample][first]
            hair_face[pixel[first], sample[first]] = cf[first] + figure.opaque

    # --- shade what is opaque ---
    pixel = torch.cat([whole.nonzero()[:, 0], (seen & ~whole[:, None]).nonzero()[:, 0]])
    sample = torch.cat([torch.zeros_like(whole.nonzero()[:, 0]), (seen & ~whole[:, None]).nonzero()[:, 1]])
    one = whole[pixel]
    share = torch.where(one, through.mean(1)[pixel], through[pixel, sample] / SAMPLES**2)
    colour, _ = shade_points(face[pixel, sample].long(), bary[pixel, sample], pixel // (H * W))
    rgb = haired.index_add(0, pixel, colour * share[:, None])
    alpha = 1 - (through * ~seen).mean(1)

    front = torch.where(hair_face >= 0, hair_face, face)[:, -1].long()
    near = torch.minimum(hair_depth, deep)[:, -1]
    label = torch.where(front >= 0, figure.face_label[front.clamp(min=0)], 0)
    label = torch.where(alpha >= 0.5, label, 0)
    on = seen[:, -1].nonzero()[:, 0]
    corner = figure.faces[face[on, -1].long()] + (on // (H * W) * v.shape[1])[:, None]
    world = normalize((n.reshape(-1, 3)[corner] * bary[on, -1, :, None]).sum(1), dim=1)
    facing = (T[on // (H * W), :3, :3] @ world[:, :, None])[:, :, 0]
    facing = facing * torch.where(facing[:, 2:] > 0, -1.0, 1.0)
    normal = torch.zeros(B * H * W, 3, device=device).index_copy(0, on, facing)
    body = torch.tensor([l.name == "body" for l in figure.layers], device=device)[figure.face_layer]
    under = (figure.attributes[:, 7][figure.faces] > POKE).all(1) & body
    poked = (front >= 0) & under[front.clamp(min=0)]
    return Shot(rgb.view(B, H, W, 3), alpha.view(B, H, W), label.view(B, H, W).to(torch.uint8),
                normal.view(B, H, W, 3), torch.where(near.isfinite(), near, 0).view(B, H, W), shade,
                poked.view(B, H, W))  # fmt: skip


def _faces(faces: Tensor):
    return faces.int().numpy() if faces.device.type == "cpu" else faces
