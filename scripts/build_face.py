"""Where the 468 landmarks of the face mesh lie on the default body, and how the network that finds them errs.

    python scripts/build_face.py ASSETS MOTIONS src/dinar/body/data/face.npz [PEOPLE]

ASSETS is the folder of MakeHuman's assets, MOTIONS one of clips, as of ``dinar synthesize``. The heads of PEOPLE (100)
generated people are drawn, in ten poses and from ten sides each. Every landmark gets the place on the body's surface
whose picture is nearest to the network's answers (Geman and McClure's mean, which far ones hardly move). What then is
left, up to a similarity of the picture, is split into the MODES strongest errors that landmarks make together, and a
standard deviation of its own for each landmark.

Places are not where the rays through the answers meet the body: at the outline of the face most of these pass it.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from dinar.body import Body, load_body
from dinar.body.regions import regions
from dinar.files import replacing
from dinar.photo.blazepose import Region
from dinar.photo.landmarks import MIN_PRESENCE, _face_once, face_near
from dinar.scene import Camera, look_at
from dinar.synthetic.base.surfaces import load_surfaces
from dinar.synthetic.garments.figure import Standing, stand
from dinar.synthetic.people.people import sample_poses
from dinar.synthetic.render.background import render_place, sample_place
from dinar.synthetic.render.light import sample_light
from dinar.synthetic.render.photograph import photograph
from dinar.synthetic.render.render import render
from dinar.synthetic.source import Synthetic

SEED, PEOPLE, VIEWS, SIZE = 4242, 100, 10, 288  # pixels a side
ASIDE, ABOVE = np.deg2rad(28), np.deg2rad(12)  # standard deviations of the camera's direction from the face's front
DISTANCE, SHARE = (2.0, 6.0), (0.36, 0.5)  # metres to the face; metres that the picture shows of it
FAR = np.deg2rad(30)  # from this turn on the landmarks of the other side do not count
APART = 0.012  # metres: error that counts a quarter in the places; median error of pictures that give no modes
TURNED = np.deg2rad(60)  # pictures of faces turned farther give no modes
STEPS, SPACING = 4, 0.0004  # places a side of a triangle; metres under which two of them are one
MODES = 16
BROW, CHIN, SIDE = 10, 152, 0.02  # landmarks; metres from the middle, from where a landmark is on one side

Picture = tuple[np.ndarray, Camera, np.ndarray, float]  # vertices [V, 3], camera, landmarks [468, 2], turn


def pictures(body: Body, source: Synthetic, i: int) -> list[Picture]:
    """Those of person i in which a face is found."""
    person, rng, s = source.person(i), np.random.default_rng([SEED, i, 1]), load_surfaces("cpu")
    pose, place = sample_poses(rng, s, person.betas, VIEWS, source.clips)
    light, standing = sample_light(rng), stand(person.figure, s, person.betas, pose, place)
    same = lambda x: x[None].expand(VIEWS, -1)  # noqa: E731
    posed = body(same(person.betas), pose, place, same(person.expression))
    face, out = torch.from_numpy(np.flatnonzero(regions(body).face)), []
    for b in range(VIEWS):
        v = posed.vertices[b]
        u, _, vt = np.linalg.svd((body.weights[face].mean(0)[:, None, None] * posed.skinning[b]).sum(0)[:3, :3].numpy())
        turn, middle = u @ vt, v[face].mean(0)
        aside = float(np.clip(rng.normal(0, ASIDE), -2.5 * ASIDE, 2.5 * ASIDE))
        above, distance = rng.normal(0, ABOVE), rng.uniform(*DISTANCE)
        to = turn @ [np.sin(aside) * np.cos(above), np.sin(above), np.cos(aside) * np.cos(above)] * distance
        focal = SIZE * distance / rng.uniform(*SHARE)
        camera = look_at(middle + torch.from_numpy(to).float(), middle, SIZE, SIZE, focal)
        one = Standing(*(x[b : b + 1] for x in vars(standing).values()))
        shot = render(person.figure, one, [camera], light, float(one.vertices[0, :, 1].min()))
        room = render_place(sample_place(rng, None), camera, 0.0, "cpu", (float(middle[0]), float(middle[1])))[0]
        rgb = photograph(shot.rgb[0] + room * (1 - shot.alpha[0, ..., None]), rng).numpy()
        at = camera.project(v[face])[0].numpy()
        ends = torch.stack([middle, middle - torch.from_numpy(turn[:, 1]).float()])
        down = np.diff(camera.project(ends)[0].numpy(), axis=0)[0]
        (x, y), side = at.mean(0), 1.6 * np.ptp(at, axis=0).max()
        found = _face_once(rgb, Region(float(x), float(y), float(side), float(np.arctan2(-down[0], down[1]))))
        again = face_near(rgb, found) if found.presence >= MIN_PRESENCE else None
        if again is not None:
            out.append((v.numpy(), camera, again.points[:, :2].astype(float), aside))
    return out


def flat(points: np.ndarray, camera: Camera) -> tuple[np.ndarray, float]:
    """Places [N, 3] in the picture, in metres at their median distance; and pixels a metre."""
    xy, z = camera.project(torch.from_numpy(points).float())
    metre = float(camera.K[0, 0] / z.median())
    return xy.double().numpy() / metre, metre


def places(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [C] and barycentrics [C, 3] of places all over the front of the head's skin."""
    r, template = regions(body), body.v_template.numpy()
    head = (body.weights[:, body.joint("head")].numpy() > 0.2) & ~r.cavity
    skin = np.asarray(body.segment) == body.segment_names.index("skin")
    triangle = np.flatnonzero(head[body.faces].all(1) & skin)
    grid = np.array([(a, b, STEPS - a - b) for a in range(STEPS + 1) for b in range(STEPS + 1 - a)]) / STEPS
    t, w = np.repeat(triangle, len(grid)), np.tile(grid, (len(triangle), 1))
    at = (template[body.faces[t]] * w[:, :, None]).sum(1)
    kept = np.unique(np.round(at / SPACING).astype(int), axis=0, return_index=True)[1]
    kept = kept[at[kept, 2] > np.median(at[kept, 2]) - SIDE]
    return t[kept], w[kept]


def visible(x: np.ndarray, aside: float) -> np.ndarray:
    """[468] bool: landmarks at x [468] metres from the middle that a camera on that side may see."""
    return (np.abs(x) < SIDE) | (np.sign(x) * aside > -FAR)


def main(assets: str, motions: str, target: str, people: str = str(PEOPLE)) -> None:
    torch.set_num_threads(1)
    body, source, shown = load_body(), Synthetic(SEED, SIZE, VIEWS, None, assets, motions), []
    with torch.no_grad():
        for i in range(int(people)):
            shown += pictures(body, source, i)
            print(f"{i + 1} people, {len(shown)} faces", flush=True)
    triangle, weights = places(body)
    at = lambda v: (v[body.faces[triangle]] * weights[:, :, None]).sum(1)  # noqa: E731
    rest, best = at(body.v_template.numpy()), np.zeros(468, int)
    for _ in range(2):  # the first time all landmarks count in all pictures
        cost = np.zeros((468, len(triangle)), np.float32)
        for v, camera, found, aside in shown:
            there, metre = flat(at(v), camera)
            x = found / metre
            c = (x**2).sum(1)[:, None] - 2 * x @ there.T + (there**2).sum(1)
            use = visible(rest[best, 0], aside) if best.any() else np.ones(468, bool)
            cost[use] += (c / (1 + c / APART**2))[use]
        best = cost.argmin(1)
    errors = []
    for v, camera, found, aside in shown:
        there, metre = flat(at(v)[best], camera)
        up = found[BROW] - found[CHIN]
        sine, cosine = up / np.hypot(*up)
        x, y = (p @ np.array([[-cosine, -sine], [sine, -cosine]]) for p in (found / metre, there))
        x, y = x - x.mean(0), y - y.mean(0)
        u, size, vt = np.linalg.svd(y.T @ x)
        error = x - size.sum() / (y**2).sum() * y @ u @ vt
        if abs(aside) < TURNED and np.median(np.hypot(*(found / metre - there).T)) < APART:
            errors.append(error.ravel())
    e = np.array(errors)
    _, size, vt = np.linalg.svd(e / np.sqrt(len(e)), full_matrices=False)
    modes = (size[:MODES, None] * vt[:MODES]).reshape(MODES, 468, 2).transpose(1, 2, 0)
    own = np.sqrt(((e - e @ vt[:MODES].T @ vt[:MODES]) ** 2).reshape(-1, 468, 2).mean((0, 2)))
    with replacing(Path(target)) as part, part.open("wb") as file:
        np.savez_compressed(file, vertices=body.numbers[body.faces[triangle[best]]].astype(np.uint16),
                            barycentrics=weights[best].astype(np.float16), spread=own.astype(np.float16),
                            modes=modes.astype(np.float16))  # fmt: skip
    print(f"{target}: {len(shown)} faces, {len(e)} for the modes; errors {1000 * np.sqrt((e**2).mean()):.2f} mm, "
          f"beside the modes {1000 * np.sqrt((own**2).mean()):.2f}")  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
