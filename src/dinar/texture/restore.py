"""Restore the texels that no photo shows, without a network: the baseline of the diffusion model (§3.3).

Every unseen texel takes the colour of seen ones of the same kind: torso, arms and legs by :mod:`.fold`, hair by
:mod:`.hair`, faces from faces, hands from hands or skin. The colour step between seen and restored texels at their
border is then spread over the unseen surface by :mod:`.membrane`, so that there is no seam and the light continues.

Where a network predicts the colours, these rules still give what it cannot: the cloth's pattern and the hair's strands.
A regressor gives the light (:mod:`dinar.neural.regression`): its colours blur hems and stain coats.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from ..body import Body
from ..body.body import PARTS
from ..body.regions import regions
from ..cores import beside
from ..errors import DinarError
from ..labels import LABEL
from ..scene.edges import unique_edges
from .face import MIDDLE, SOURCES, both_lights, cheeks, soft_hairline
from .fill import push_pull
from .fold import CONFIDENT, fold, nearest, shown_clearly
from .foot import feet
from .hair import FRONTAL, TINTED, bald, blend, hair_texels, hat_over_hair, strands, usual
from .halves import with_other_half
from .light import light as light_on
from .light import told
from .membrane import membrane
from .nape import nape
from .outliers import beside_coat, beside_hair, beside_hat, not_skin, skin_colour, stray, turned_away, unlike
from .surface import Surface, of_kind, parts_of, surface
from .texels import texels
from .weave import hue
from .worn import alone

SIZE = 512  # texture size at which colours are restored
LIGHT = 0.4  # colour step up to which it is light and shade; larger ones are another material
TONE = 0.15  # and what of the step is no light and shade
FACE_LIGHT, MEETING = 1, 0.75  # times LIGHT: on a face, and between restored colours of two parts
FADE = 0.10  # metres over which a colour step dies out on the unseen side
WHOLE = 0.999  # share of a small texel that has to be seen: unseen parts are black in area averages
SOFT, SOFT_FACE = 0.008, 0.002  # of the texture's side: width of the soft border of the seen; on faces
SOFT_HEAD, SMALL = 0.025, 0.01  # on a skull; half the width of unseen parts of faces up to which SOFT_FACE holds
FLAT = {"neck": (1, 1, 0.15), "head": (1, 1, 0.3)}  # distances from front to back count less there: front to nape
HIDDEN = 0.1  # share of the hands under which they are taken to be in pockets
GLOW = 2.0  # texels of the network, over which light is smooth
SAME_CLOTH = 0.2  # difference of predicted and restored colour at which the predicted light counts 1/e
DARK, MOST_LIGHT = 0.1, 0.4  # added to both brightnesses (sums of RGB); bound of the logarithm of their ratio
RIM_LIT = 0.65  # λ of hair and feet below which they have the rim's light, and what is restored need not meet them
HIPS = 0.25  # metres above the pelvis over which predicted light begins, where a skirt or coat hangs
ALIKE = 0.12  # difference of predicted and restored colour at which the restored detail counts 1/e
HAT = (3, 0.03, 0.03)  # times that distances down a hat count, and its radius, metres: it is alike all around
WRIST, WRIST_TEXELS = 0.85, 100  # share of an arm down to its wrist; least bare texels there to tell skin

Predict = Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]
"""A network: colours [s, s, 3] float32 in [0, 1], λ [s, s] and classes [s, s] uint8 or None, as of :func:`restore` ->
colours of all texels [p, p, 3], in the gutters, too; p divides s."""


def restore(
    body: Body,
    rgb: np.ndarray,  # [S, S, 3] float32 in [0, 1], valid where lam > 0
    lam: np.ndarray,  # [S, S] float32 in [0, 1], 0 = not seen
    classes: np.ndarray | None = None,  # [S, S] uint8 of labels.CLASSES where seen; None: guessed from colours
    predict: Predict | None = None,  # what the unseen looks like at large; None: by the rules of this module
    light: Predict | None = None,  # in whose light the restored colours are shown; None: as in front
    heels: bool = False,  # the shoes have heels
    patterns: np.ndarray | None = None,  # [2, classes] of photo.traits.cloth_patterns; None: all cloths are plain
) -> np.ndarray:
    """The complete texture [S, S, 3] float32 in [0, 1]: seen texels as they are, others restored, gutters filled.

    Raises:
        DinarError: no texel is seen.
    """
    weight: list[np.ndarray] = []
    with beside(lambda: weight.append(_soft_border(body, lam > 0))):
        filled, rejected = _filled(body, rgb, lam, classes, predict, light, heels, patterns)
    share = weight[0][..., None] * (1 - rejected[..., None])
    return np.clip(rgb * share + filled * (1 - share), 0, 1).astype(np.float32)


def _filled(
    body: Body,
    rgb: np.ndarray,
    lam: np.ndarray,
    classes: np.ndarray | None,
    predict: Predict | None,
    light: Predict | None,
    heels: bool,
    patterns: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Restored colours of all texels [S, S, 3], arguments as of :func:`restore`; and [S, S] uint8: texels that are seen
    but do not show the body."""
    size = rgb.shape[0]
    s = surface(body, min(SIZE, size))
    colour, lam_small, worn, rejected = _texels(s, rgb, lam, classes)
    seen = lam_small > 0
    shade = light_on(body, s, colour, lam_small, worn)
    colour /= shade
    both, lam_both, worn_both, other = with_other_half(s, colour, lam_small, worn)
    guess, behind, bare = _restored(s, both, lam_both > 0, lam_both, worn_both, heels, patterns)
    guess += other[:, None] * (both - guess)
    if worn_both is not None:
        behind = np.where(other > 0, worn_both, behind)
    for network, use in ((predict, _with_detail), (light, _in_light)):
        if network is not None:
            kinds = None if worn is None else _grid(s, worn * seen)
            lit = colour * shade * seen[:, None]
            guess = use(s, network(_grid(s, lit), _grid(s, lam_small), kinds), guess * shade) / shade
    rim = s.skull & ~s.face & ~s.auricles | of_kind(s, "foot")
    clear = seen & ~(rim & (lam_small < RIM_LIT))
    alike = clear
    if worn is not None:  # the class is the same on both sides, and hair before a face is not its skin
        alike = clear & np.where(behind == 0, ~s.face | (worn == LABEL["face"]), behind == worn)
    cloth = behind if worn is None else np.where(seen, worn, behind)
    guess += _membrane(body, s, colour, seen, alike, cloth, bare, guess)
    guess[clear] = colour[clear]
    guess = np.clip(guess * shade, 0, 1)

    full = np.zeros((s.texels.size**2, 3), np.float32)
    full[s.texels.index] = guess
    inside = s.texels.inside
    filled = push_pull(full.reshape(s.texels.size, s.texels.size, 3), inside)
    if size != s.texels.size:
        filled = cv2.resize(filled, (size, size), interpolation=cv2.INTER_CUBIC)
    return filled, cv2.resize(_grid(s, rejected.astype(np.uint8)), (size, size))


def prepare(body: Body, size: int) -> None:
    """Compute what :func:`restore` needs of a body for textures of ``size`` texels a side: it is kept."""
    texels(body.atlas, size)
    told(body, surface(body, min(SIZE, size)))


def rules(body: Body, rgb: np.ndarray, lam: np.ndarray, classes: np.ndarray | None = None) -> np.ndarray:
    """[S, S, 3] colours of all texels by the rules alone, with steps at their borders, gutters filled; arguments as of
    :func:`restore`. Where nothing is seen: grey."""
    s = surface(body, rgb.shape[0])
    try:
        colour, lam, worn, _ = _texels(s, rgb, lam, classes)
    except DinarError:
        return np.full_like(rgb, 0.5)
    out = _restored(s, colour, lam > 0, lam, worn)[0]
    return push_pull(_grid(s, np.clip(out, 0, 1).astype(np.float32)), s.texels.inside)


def _texels(
    s: Surface, rgb: np.ndarray, lam: np.ndarray, classes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """Of all N texels: colours [N, 3], λ [N], classes [N] or None; and those [N] bool that are seen but do not show the
    body: their λ is 0."""
    n = s.texels.size
    small = rgb if rgb.shape[0] == n else cv2.resize(rgb, (n, n), interpolation=cv2.INTER_AREA)
    whole = cv2.resize((lam > 0).astype(np.float32), (n, n), interpolation=cv2.INTER_AREA) > WHOLE
    colour = small.reshape(-1, 3)[s.texels.index].astype(np.float32)
    seen = whole.reshape(-1)[s.texels.index]
    if not seen.any():
        raise DinarError("the fitted body lies outside the person's mask: check the --mask, --keypoints or --fit given")
    lam = cv2.resize(lam, (n, n), interpolation=cv2.INTER_AREA).reshape(-1)[s.texels.index]
    worn = None
    if classes is not None:
        worn = cv2.resize(classes, (n, n), interpolation=cv2.INTER_NEAREST).reshape(-1)[s.texels.index]
    wrong = not_skin(s, colour, seen, worn) | beside_hair(s, seen, worn) | beside_coat(s, seen, worn)
    wrong |= beside_hat(s, seen, worn) | turned_away(s, lam)
    wrong = seen & (wrong | stray(s, colour, seen, lam))
    return colour, np.where(seen & ~wrong, lam, 0).astype(np.float32), worn, wrong


def _grid(s: Surface, values: np.ndarray) -> np.ndarray:  # [N, ...] -> [size, size, ...], 0 in gutters
    out = np.zeros((s.texels.size**2, *values.shape[1:]), values.dtype)
    out[s.texels.index] = values
    return out.reshape(s.texels.size, s.texels.size, *values.shape[1:])


def _with_detail(s: Surface, large: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Colours [N, 3]: those predicted at large [p, p, 3], with the detail of the restored ones [N, 3] that is finer
    than they are; less of it where both disagree at large."""
    old, share = _reduced(s, guess, large.shape[0])
    mean = push_pull(old, share[..., 0] > 0)
    new, old = (_enlarged(s, x) for x in (large, mean))
    agree = np.exp(-np.square(np.abs(new - old).max(1, keepdims=True) / ALIKE))
    return np.clip(new + agree * (guess - old), 0, 1).astype(np.float32)


def _in_light(s: Surface, large: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Restored colours [N, 3] as bright as those predicted at large [p, p, 3]; less so where both disagree on what is
    worn, because their colours differ much."""
    p = large.shape[0]
    old, share = _reduced(s, guess, p)

    def soft(x: np.ndarray, texels: float) -> np.ndarray:  # within the islands
        blurred = [cv2.GaussianBlur(y.astype(np.float32), (0, 0), texels) for y in (x * share, share)]
        return blurred[0].reshape(*x.shape[:2], -1) / np.maximum(blurred[1], 1e-3)[..., None]

    new, old = soft(large, GLOW), soft(old, GLOW)
    alike = np.exp(-np.square(np.abs(new - old).max(2, keepdims=True) / SAME_CLOTH))
    if s.hanging:  # legs would shine through
        above = np.where(of_kind(s, "torso"), np.clip(s.chart[:, 0] / HIPS, 0, 1), 1)
        alike *= _reduced(s, above[:, None], p)[0]
    gain = np.log((new.sum(2, keepdims=True) + DARK) / (old.sum(2, keepdims=True) + DARK))
    return np.clip(guess * np.exp(_enlarged(s, soft(alike * gain, GLOW).clip(-MOST_LIGHT, MOST_LIGHT))), 0, 1)


def _reduced(s: Surface, values: np.ndarray, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Means [p, p, 3] of values [N, 3], and the share [p, p, 1] of each that lies in the islands."""
    k = s.texels.size // p
    blocks = lambda x: x.reshape(p, k, p, k, -1).mean((1, 3))  # noqa: E731
    share = blocks(s.texels.inside.astype(np.float32))
    return (blocks(_grid(s, values)) / np.maximum(share, 1e-6)).astype(np.float32), share


def _enlarged(s: Surface, grid: np.ndarray) -> np.ndarray:  # [p, p, C] -> [N, C]
    size = s.texels.size
    fine = cv2.resize(grid.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return fine.reshape(size * size, -1)[s.texels.index]


def _soft_border(body: Body, seen: np.ndarray) -> np.ndarray:
    """Weight [S, S] float32 of the seen texture: 0 where unseen, rising to 1 within SOFT of the border, or SOFT_HEAD on
    a skull. On faces that holds around parts that are not SMALL: eyes and lips are narrower."""
    t, r, size = texels(body.atlas, seen.shape[0]), regions(body), seen.shape[0]
    of = lambda on: t.index[on[body.faces].all(1)[t.face]]  # noqa: E731
    narrow, wide = (np.full(seen.size, SOFT * size, np.float32) for _ in range(2))
    narrow[of(r.face | r.cavity)] = SOFT_FACE * size
    wide[of(r.cavity)] = SOFT_FACE * size
    wide[of(r.skull & ~r.face & ~r.cavity)] = SOFT_HEAD * size
    unseen, k = (t.inside & ~seen).astype(np.uint8), np.ones((2 * round(SMALL * size) + 1,) * 2, np.uint8)
    large = cv2.dilate(cv2.erode(np.where(t.inside, unseen, 1), k), k) * unseen
    weight = np.float32(1)
    for border, width in ((unseen, narrow), (large, wide)):
        away = cv2.distanceTransform(1 - border, cv2.DIST_L2, 3)
        weight = np.minimum(weight, away / np.maximum(width, 2).reshape(seen.shape))
    return np.where(seen, weight, 0).astype(np.float32)


def _restored(
    s: Surface, colour: np.ndarray, seen: np.ndarray, lam: np.ndarray, worn: np.ndarray | None, heels: bool = False,
    patterns: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Restored colours [N, 3] of all texels, also of the seen ones, whose step the membrane needs; the classes [N]
    uint8 that folded texels were given, 0: any; and [N] bool where the skull is skin."""
    out, behind = np.zeros_like(colour), np.zeros(len(colour), np.uint8)
    done = np.zeros(len(colour), bool)
    default = np.median(colour[seen], 0)

    def take(target: np.ndarray, source: np.ndarray, q: np.ndarray, c: np.ndarray = colour) -> None:
        """Give the target the colours c [N, 3] of the nearest sources by coordinates q [N, 3], if there are enough."""
        target = target & ~done
        if source.sum() < SOURCES or not target.any():
            return
        out[target] = nearest(q[source], c[source], q[target])
        done[target] = True

    head = s.part == PARTS.index("head")
    mirrored = s.x * [1, 1, 1]  # both halves of the body in one: the other half is a source
    mirrored[:, 0] = np.abs(mirrored[:, 0])
    sure = seen & (lam > CONFIDENT)
    if (shown := sure & s.hat).sum() >= SOURCES:
        place = s.chart * HAT * np.where(s.x[:, :1] < 0, [1, -1, 1], 1)
        out[s.hat] = blend(place[shown], colour[shown], place[s.hat])
        done |= s.hat
        if s.in_hat.any():
            flat = np.stack(np.divmod(s.texels.index, s.texels.size), 1)
            out[s.in_hat] = nearest(flat[s.hat], out[s.hat], flat[s.in_hat])
            done |= s.in_hat
    hair = hair_texels(s, colour, sure & ~s.hat & ~s.in_hat, worn)
    bare_face = seen & s.face & (~hair if worn is None else worn == LABEL["face"])
    lit, side = both_lights(mirrored, s.x[:, 0], colour, sure & bare_face)
    if s.auricles.any():  # it is the face's, and is none of the nape's
        side **= np.clip(1 + (s.x[:, 2:] - s.x[s.auricles, 2].min()) / MIDDLE, 0, 1)
        lit = colour / side
    take(s.face, seen & s.face, mirrored, lit)  # hair before the face, too: it hangs on both sides
    if bare_face.sum() >= SOURCES:
        cheeks(mirrored, lit, lam, seen & s.face, bare_face, s.face & done, out)
    out[s.face & done] *= side[s.face & done]
    take(s.face | s.cavity & head, seen & s.face, mirrored)
    hats = () if worn is None else hat_over_hair(s, hair, worn)
    clear_of_others = seen if worn is None else alone(s, worn)
    for source, place in (*hats, (hair, head), (seen & head & ~s.face, head)):
        scalp = head & s.skull & ~s.face & ~done & place
        if (pure := source & clear_of_others).sum() >= SOURCES:
            source = pure  # the most frontal of the others are of the forehead
        if source.sum() >= SOURCES and scalp.any():
            hues = (colour[source] + DARK / 3) / (colour[source].sum(1, keepdims=True) + DARK)
            weight = lam[source] ** FRONTAL * usual(hues, TINTED)
            out[scalp] = blend(mirrored[source], colour[source], mirrored[scalp], weight)
            is_hair = worn is None or (worn[source] == LABEL["hair"]).mean() > 0.5  # not a hat
            if is_hair and not (source & ~hair).any():
                out[scalp] *= strands(s, colour, source)[scalp, None]
            done |= scalp
    share = bald(s, sure, worn)
    if worn is not None and (thin := head & done & (share > 0)).any():
        hairy, done[thin] = out[thin], False
        bare, skin = sure & head & np.isin(worn, [LABEL["skin"], LABEL["face"]]), skin_colour(s, colour, seen, worn)
        bare &= True if skin is None else ~unlike(colour, skin)
        if (around := bare & ((share > 0) | s.face)).sum() >= SOURCES:
            even = thin & ~s.auricles  # the spot of skin nearest to each texel would be seen as a patch
            out[even] = blend(mirrored[around], lit[around], mirrored[even])
            done |= even
        take(thin, around, mirrored, lit)
        out[thin] *= np.where(done[thin, None], side[thin], 1)
        out[thin] = hairy + share[thin, None] * (out[thin] - hairy)
        done[thin] = True
    soft_hairline(s, out, done)
    neck = head & ~s.skull & ~s.face & ~s.cavity
    if worn is not None and (behind_neck := nape(s, colour, sure, worn, neck)) is not None:
        new = np.isfinite(behind_neck[:, 0]) & ~done
        out[new], done = behind_neck[new], done | new
    take(neck, sure & neck, s.x * FLAT["neck"])  # the rest may be the light behind the person
    take(neck, seen & neck, s.x * FLAT["neck"])
    take(neck, seen & s.face & (s.x[:, 1] < np.median(s.x[s.face, 1])), s.x * FLAT["neck"])
    take(head, seen & head, s.x * FLAT["head"])
    cloth, clear = (None, None) if worn is None else shown_clearly(s, colour, worn, lam > CONFIDENT)

    def folded(*kinds: str) -> None:
        for kind in kinds:
            fold(s, kind, colour, lam, cloth, clear, out, behind, done, patterns)

    with beside(lambda: folded("arm")):
        folded("torso", "leg")
    done |= feet(s, mirrored, colour, lam, seen, worn, out, heels)
    own = of_kind(s, "hand")
    take(own, seen & own, mirrored)
    skin, hands = skin_colour(s, colour, seen, worn), of_kind(s, "hand")
    if (seen & hands).sum() < HIDDEN * hands.sum():  # the skin of bare wrists, or else of the face
        arm, along = of_kind(s, "arm"), s.chart[:, 0]
        wrist = arm & (along > np.quantile(along[arm], WRIST)) & seen & (lam > CONFIDENT)
        bare = wrist & ~unlike(colour, skin) if skin is not None else wrist
        if worn is not None:  # white cuffs are like skin in bright light
            bare &= worn == LABEL["skin"]
        if bare.sum() > WRIST_TEXELS:
            skin = np.median(colour[bare], 0)
        if skin is not None:
            out[hands] = skin
            done |= hands
    take(~head, seen & ~head, s.x)
    out[~done] = default
    return out, behind, share > 0.5


def _membrane(
    body: Body, s: Surface, colour: np.ndarray, seen: np.ndarray, alike: np.ndarray, cloth: np.ndarray,
    bare: np.ndarray, guess: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """[N, 3] smooth correction that makes the restored colours ``guess`` meet the seen ones that are ``alike``; it dies
    out over FADE metres."""
    step = (colour - guess)[s.vertex_texel]
    limit = np.where(regions(body).face, FACE_LIGHT * LIGHT, LIGHT)
    tone = np.abs(hue(step, guess[s.vertex_texel])).max(1)
    known = alike[s.vertex_texel] & (np.abs(step).max(1) < limit) & (tone < TONE)
    # the restored colours have a step where two parts meet, or seen and unseen: it is taken out
    edges, kind, g = _edges(body), _kinds(body), guess[s.vertex_texel].astype(np.float64)
    d = g[edges[:, 1]] - g[edges[:, 0]]
    hair = regions(body).skull & ~regions(body).face & ~bare[s.vertex_texel]
    kind = kind + 1024 * seen[s.vertex_texel]
    differ = lambda x: x[edges[:, 0]] != x[edges[:, 1]]  # noqa: E731
    worn, trunk, leg = cloth[s.vertex_texel], *(np.isin(body.vertex_part, parts_of(k)) for k in ("torso", "leg"))
    hem = differ(worn) & (worn[edges] > 0).all(1)
    sewn = differ(trunk) & ((trunk | leg) & ~seen[s.vertex_texel] & (worn > 0))[edges].all(1)  # a seat and its trousers
    meet = differ(kind) & ~differ(hair) & ~hem & (sewn | (np.abs(d).max(1) < MEETING * LIGHT))
    r = membrane(body, known, step, FADE, (edges[meet], d[meet]))
    corner = body.faces[s.texels.face]
    nearest_vertex = corner[np.arange(len(corner)), s.texels.barycentrics.argmax(1)]
    own = _kind(s.part, s.face, s.skull, s.cavity)
    own = np.where((kind[corner] % 1024 == own[:, None]).any(1), own, kind[nearest_vertex] % 1024)
    same = kind[corner] % 1024 == own[:, None]
    both = same & (kind[corner] // 1024 == seen[:, None])
    w = s.texels.barycentrics * np.where(both.any(1, keepdims=True), both, same)  # vertices of its own side
    w /= np.maximum(w.sum(1, keepdims=True), 1e-6)
    return np.einsum("nk,nkc->nc", w, r[corner]).astype(np.float32)


def _kinds(body: Body) -> np.ndarray:
    """[V] int: parts of the body, the head divided into face, skull, cavities and neck; each has its own sources."""
    r = regions(body)
    return _kind(body.vertex_part, r.face, r.skull, r.cavity)


def _kind(part: np.ndarray, face: np.ndarray, skull: np.ndarray, cavity: np.ndarray) -> np.ndarray:
    return part + 16 * (face + 2 * (skull & ~face) + 4 * cavity).astype(int)


@lru_cache(maxsize=4)
def _edges(body: Body) -> np.ndarray:
    """[E, 2] of :func:`unique_edges`."""
    return unique_edges(body.faces)[0]
