"""Restore what the photo does not show, without a network: the baseline that the diffusion model has to beat.

Every unseen texel borrows its colour from a seen one of the same kind. Torso, arms and legs are folded (fold.py): a
jacket's back comes from the jacket, not from the hair or the bag in front of it, and a hidden limb takes its twin's.
Hair comes from hair and gets strands, faces come from faces, hands from skin. The step between seen and borrowed
colours at their border is then spread over the unseen surface by a membrane on the mesh, which takes the light of the
one side over to the other without a seam.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates
from scipy.spatial import KDTree

from ..body import Body
from ..body.body import PARTS
from ..body.regions import regions
from ..errors import DinarError
from ..labels import LABEL
from ..scene.edges import unique_edges
from .fill import push_pull
from .fold import CONFIDENT, fold, nearest
from .membrane import membrane
from .surface import Surface, of_kind, surface
from .texels import texels

SIZE = 512  # texture size at which sources are looked up
LIGHT = 0.2  # colour step that light and shade explain
FADE = 0.10  # metres over which a colour step dies out on the unseen side
SLANTED = 0.82  # λ under which a texel at the border of the seen may show the background
BORDER, STRAY = 0.03, 0.3  # width of the border in textures; colour difference from further in that is too much
_SKIN, _HAIR = [LABEL["skin"], LABEL["face"]], [LABEL["hair"], LABEL["hat"]]
STRAND = (8.0, 0.8)  # length and width of strands: 5 mm along the head, half degrees around it
MOST_CONTRAST = 0.12  # of strands, as a share of their colour
SKIN_CHROMA, SKIN_DARK = 18.0, 60.0  # Lab distances from the face beyond which a hand texel is not skin


def restore(
    body: Body,
    rgb: np.ndarray,  # [S, S, 3] float32 in [0, 1], valid where lam > 0
    lam: np.ndarray,  # [S, S] float32 in [0, 1], 0 = not seen
    classes: np.ndarray | None = None,  # [S, S] uint8 of fit.labels.CLASSES where seen; None: guessed from colours
) -> np.ndarray:
    """The complete texture [S, S, 3] float32: seen texels as they are, the others restored, gutters filled."""
    size = rgb.shape[0]
    s = surface(body, min(SIZE, size))
    small = rgb if size == s.texels.size else cv2.resize(rgb, (s.texels.size,) * 2, interpolation=cv2.INTER_AREA)
    # a small texel is seen if all of it is: area-averaged colours must not contain unseen zeros
    seen_small = cv2.resize((lam > 0).astype(np.float32), (s.texels.size,) * 2, interpolation=cv2.INTER_AREA) > 0.999
    colour = small.reshape(-1, 3)[s.texels.index].astype(np.float32)
    seen = seen_small.reshape(-1)[s.texels.index]
    if not seen.any():
        raise DinarError("the fitted body lies outside the person's mask: check the --mask, --keypoints or --fit given")
    lam_small = cv2.resize(lam, (s.texels.size,) * 2, interpolation=cv2.INTER_AREA).reshape(-1)[s.texels.index]
    worn = None
    if classes is not None:
        worn = cv2.resize(classes, (s.texels.size,) * 2, interpolation=cv2.INTER_NEAREST).reshape(-1)[s.texels.index]
    seen = seen & ~_not_skin(s, colour, seen, worn) & ~_stray(s, colour, seen, lam_small)
    guess, behind = _borrow(s, colour, seen, np.where(seen, lam_small, 0), worn)
    alike = seen if worn is None else seen & ((behind == 0) | (behind == worn))  # the same thing on both sides
    cloth = behind if worn is None else np.where(seen, worn, behind)
    guess = np.clip(guess + _membrane(body, s, colour, seen, alike, cloth, guess), 0, 1)

    full = np.zeros((s.texels.size**2, 3), np.float32)
    full[s.texels.index] = guess
    inside = s.texels.inside
    filled = push_pull(full.reshape(s.texels.size, s.texels.size, 3), inside)
    if size != s.texels.size:
        filled = cv2.resize(filled, (size, size), interpolation=cv2.INTER_CUBIC)
    weight = _soft_border(lam > 0, texels(body.atlas, size).inside)[..., None]
    rejected = np.zeros(s.texels.size**2, np.uint8)
    rejected[s.texels.index] = (seen_small.reshape(-1)[s.texels.index] & ~seen).astype(np.uint8)
    weight = weight * (1 - cv2.resize(rejected.reshape((s.texels.size,) * 2), (size, size))[..., None])
    return np.clip(rgb * weight + filled * (1 - weight), 0, 1).astype(np.float32)


def _soft_border(seen: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Weight [S, S] of the seen texture: 0 where unseen, rising to 1 over 1 % of the texture."""
    k = max(2.0, 0.008 * seen.shape[0])
    unseen = (inside & ~seen).astype(np.uint8)
    d = cv2.distanceTransform(1 - unseen, cv2.DIST_L2, 3)
    return np.where(seen, np.clip(d / k, 0, 1), 0).astype(np.float32)


def _not_skin(s: Surface, colour: np.ndarray, seen: np.ndarray, worn: np.ndarray | None) -> np.ndarray:
    """Hand texels that are not skin, or have not the colour of the face: bags, pockets, sleeves painted on hands."""
    skin = _skin_colour(s, colour, seen, worn)
    if worn is not None:
        return of_kind(s, "hand") & seen & ~np.isin(worn, _SKIN)
    return np.zeros(len(seen), bool) if skin is None else of_kind(s, "hand") & seen & _unlike(colour, skin)


def _stray(s: Surface, colour: np.ndarray, seen: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Slanted texels at the border of the unseen that look nothing like the seen surface further in: background that
    shows between arm and torso, a bag's edge. Losing a true one costs little, it is borrowed from its neighbour."""
    size = s.texels.size
    grid = np.zeros(size * size, np.uint8)
    grid[s.texels.index[seen]] = 1
    # the gutters are not a border: only unseen texels of an island are
    hidden = np.zeros(size * size, np.uint8)
    hidden[s.texels.index[~seen]] = 1
    depth = cv2.distanceTransform(1 - hidden.reshape(size, size), cv2.DIST_L2, 5).reshape(-1)[s.texels.index]
    limbs = np.isin(s.part, [i for i, p in enumerate(PARTS) if p.endswith(("torso", "arm", "leg"))])
    edge = seen & limbs & (depth < BORDER * size) & (lam < SLANTED)
    inner = seen & limbs & (depth >= BORDER * size)
    stray = np.zeros(len(seen), bool)
    for part in np.unique(s.part[edge]):
        e, i = edge & (s.part == part), inner & (s.part == part)
        if i.sum() > 500:
            d, k = KDTree(s.x[i]).query(s.x[e], k=8)
            reference = np.median(colour[i][k], 1)
            odd = (np.abs(colour[e] - reference).max(1) > STRAY) & (d[:, 0] < 0.08)
            other = colour[inner & (s.part != part)][::7]  # an open jacket has the colour of its sleeves: keep it
            if odd.any() and len(other):
                odd[odd] = KDTree(other).query(colour[e][odd])[0] > 0.06
            stray[e] = odd
    return stray


def _unlike(colour: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """[N] colours too far from a skin colour to be the same person's skin in other light."""
    d = cv2.cvtColor(colour[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0] - _lab(skin)
    return (np.hypot(d[:, 1], d[:, 2]) > SKIN_CHROMA) | (d[:, 0] < -SKIN_DARK)


def _skin_colour(s: Surface, colour: np.ndarray, seen: np.ndarray, worn: np.ndarray | None) -> np.ndarray | None:
    face = s.face_centre & seen
    if worn is not None and (face & np.isin(worn, _SKIN)).sum() > 30:
        face &= np.isin(worn, _SKIN)
    if face.sum() <= 30:
        return None
    light = colour[face].sum(1)  # the lighter half: not the shade of glasses, hats and hair
    return np.median(colour[face][light >= np.median(light)], 0)


def _lab(c: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(c[None, None].astype(np.float32), cv2.COLOR_RGB2LAB)[0, 0]


def _borrow(
    s: Surface, colour: np.ndarray, seen: np.ndarray, lam: np.ndarray, worn: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """What every texel would borrow, also the seen ones (the membrane needs their step): colours [N, 3], and classes
    [N], 0 where any would do."""
    out, behind = np.zeros_like(colour), np.zeros(len(colour), np.uint8)
    done = np.zeros(len(colour), bool)
    default = np.median(colour[seen], 0)

    def take(
        target: np.ndarray,
        source: np.ndarray,
        q: np.ndarray,
    ) -> None:
        """Colours of the nearest sources in the coordinates q [N, 3]; a no-op with too few of them."""
        target = target & ~done
        if source.sum() < 64 or not target.any():
            return
        out[target] = nearest(q[source], colour[source], q[target])[0]
        done[target] = True

    head = s.part == PARTS.index("head")
    # Faces from faces (the other half first), skulls from hair, necks from necks.
    mirrored = s.x * [1, 1, 1]
    mirrored[:, 0] = np.abs(mirrored[:, 0])
    hair = _hair(s, colour, seen & (lam > CONFIDENT), worn)
    take(s.face, seen & s.face & ~hair, mirrored)
    take(s.face | s.cavity & head, seen & s.face, mirrored)
    for source in (hair, seen & head & ~s.face):
        scalp = head & s.skull & ~s.face & ~done
        if source.sum() >= 64 and scalp.any():
            out[scalp] = _blend(mirrored[source], colour[source], mirrored[scalp])
            if source is hair and (worn is None or (worn[hair] == LABEL["hair"]).mean() > 0.5):  # not a hat
                out[scalp] *= _strands(s, colour, hair)[scalp, None]
            done |= scalp
    neck = head & ~s.skull & ~s.face & ~s.cavity
    take(neck, seen & neck, s.x * [1, 1, 0.15])
    take(neck, seen & s.face & (s.x[:, 1] < np.median(s.x[s.face, 1])), s.x * [1, 1, 0.15])
    take(head, seen & head, s.x * [1, 1, 0.3])
    for kind in ("torso", "arm", "leg"):
        fold(s, kind, colour, lam, worn, out, behind, done)
    for kind in ("hand", "foot"):
        own = of_kind(s, kind)
        take(own, seen & own, mirrored)
    skin, hands = _skin_colour(s, colour, seen, worn), of_kind(s, "hand")
    if (seen & hands).sum() < 0.1 * hands.sum():  # hidden in pockets: as the wrists are if they are bare, or the face
        arm, along = of_kind(s, "arm"), s.chart[:, 0]
        wrist = arm & (along > np.quantile(along[arm], 0.85)) & seen & (lam > CONFIDENT)
        bare = wrist & ~_unlike(colour, skin) if skin is not None else wrist
        if bare.sum() > 100:
            skin = np.median(colour[bare], 0)
        if skin is not None:
            out[hands] = skin
            done |= hands
    take(~head, seen & ~head, s.x)
    out[~done] = default
    return out, behind


def _blend(source: np.ndarray, colour: np.ndarray, query: np.ndarray, reach: float = 0.04) -> np.ndarray:
    """Smooth mean of sources all around, [Q, 3]: from the nearest alone, single hairs would grow into patches."""
    step = max(1, len(source) // 500)
    source, colour = source[::step], colour[::step]
    out = np.empty((len(query), 3), np.float32)
    for i in range(0, len(query), 4096):
        d2 = ((query[i : i + 4096, None] - source) ** 2).sum(2)
        w = 1 / (d2 + reach**2) ** 2
        out[i : i + 4096] = (w / w.sum(1, keepdims=True)) @ colour
    return out


def _hair(s: Surface, colour: np.ndarray, seen: np.ndarray, worn: np.ndarray | None) -> np.ndarray:
    """Seen texels of the skull that are hair (or hat), or without a parse look more like the crown than the face."""
    if worn is not None and (hair := seen & s.skull & np.isin(worn, _HAIR)).sum() >= 64:
        return hair
    crown, skin = s.crown & seen, _skin_colour(s, colour, seen, worn)
    around = seen & s.skull & ~s.face
    if skin is None or crown.sum() < 30:
        return around
    hair = np.median(colour[crown], 0)
    like = np.linalg.norm(colour - hair, axis=1) < 0.6 * np.linalg.norm(colour - skin, axis=1)
    return seen & s.skull & like & (~s.face_centre)


def _strands(s: Surface, colour: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """[N] factor that gives the smooth colour of hair strands from the crown down, of the contrast of those seen."""
    light = colour[hair].mean(1)
    near = KDTree(s.x[hair]).query(s.x[hair][::8], k=9, workers=2)[1]
    contrast = float(np.median(light[near].std(1) / np.maximum(light[near].mean(1), 0.05)))
    along, angle, _ = s.chart.T
    noise = np.random.default_rng(0).standard_normal((64, 720))
    noise = gaussian_filter1d(gaussian_filter1d(noise, STRAND[0], 0), STRAND[1], 1, mode="wrap")
    at = np.stack([np.clip(-along / 0.005, 0, 63), (angle / (2 * np.pi) % 1) * 720])
    value = map_coordinates(noise / noise.std(), at, order=1, mode="grid-wrap")
    return (1 + min(contrast, MOST_CONTRAST) * value).astype(np.float32)


def _membrane(
    body: Body, s: Surface, colour: np.ndarray, seen: np.ndarray, alike: np.ndarray, cloth: np.ndarray,
    guess: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """[N, 3] smooth correction that makes the borrowed colours meet the seen ones that are ``alike``, dying out over
    FADE metres."""
    step = (colour - guess)[s.vertex_texel]
    # a large step is another material or a stray pixel, not light: it must not be spread
    limit = np.where(regions(body).face, 2 * LIGHT, LIGHT)  # a face is skin on both sides of a step
    known = alike[s.vertex_texel] & (np.abs(step).max(1) < limit)
    # where two parts meet, or seen and unseen, with colours borrowed elsewhere, the correction has the opposite step
    edges, kind, g = _edges(body), _kinds(body), guess[s.vertex_texel].astype(np.float64)
    d = g[edges[:, 1]] - g[edges[:, 0]]
    hair = regions(body).skull & ~regions(body).face
    kind = kind + 1024 * seen[s.vertex_texel]
    differ = lambda x: x[edges[:, 0]] != x[edges[:, 1]]  # noqa: E731
    worn = cloth[s.vertex_texel]
    hem = differ(worn) & (worn[edges] > 0).all(1)
    meet = differ(kind) & ~differ(hair) & ~hem & (np.abs(d).max(1) < 1.5 * LIGHT)
    r = membrane(body, known, step, FADE, (edges[meet], d[meet]))
    corner = body.faces[s.texels.face]
    mine = corner[np.arange(len(corner)), s.texels.barycentrics.argmax(1)]
    same = kind[corner] % 1024 == kind[mine][:, None] % 1024
    both = same & (kind[corner] // 1024 == seen[:, None])
    w = s.texels.barycentrics * np.where(both.any(1, keepdims=True), both, same)  # from its own side only
    w /= np.maximum(w.sum(1, keepdims=True), 1e-6)
    return np.einsum("nk,nkc->nc", w, r[corner]).astype(np.float32)


def _kinds(body: Body) -> np.ndarray:
    """[V] what borrows from the same sources: the parts, the head divided into face, skull, cavities and neck."""
    r = regions(body)
    return body.vertex_part + 16 * (r.face + 2 * (r.skull & ~r.face) + 4 * r.cavity).astype(int)


@lru_cache(maxsize=4)
def _edges(body: Body) -> np.ndarray:
    """[E, 2] every edge of the mesh once."""
    return unique_edges(body.faces)[0]


