"""Stage: the pose network, from generated people whose pictures were read as photos are, and from simulated people,
who have no pictures (:mod:`dinar.data.simulated`).

    dinar train pose --data heldout people --backgrounds PICTURES --motions CLIPS --run runs/pose

Reading the pictures costs .1 s a view on one core, simulating a person a millisecond; both are kept in the run's
folder. The training itself takes minutes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from accelerate.state import PartialState
from torch import Tensor, nn

from ..arrays import Array, read_npz
from ..body import Body
from ..body.load import load_body
from ..body.rotation import axis_angle_to_matrix
from ..body.skeleton import BODY
from ..data.pose import TABLE, detect, mirrored, read, rolled
from ..data.scenes import Backgrounds
from ..data.simulated import Errors, Simulator, simulate
from ..errors import DinarError
from ..files import replacing, staging
from ..nets.pose import PoseNet, PoseOutput
from ..nets.surface import SurfaceNet
from ..photo.surface import WEIGHTS, load_surface
from ..pool import Failure, run_pool
from ..views import Source
from . import presets
from .state import State
from .surface import split

JOINTS = 3.0  # how many joints' likelihoods tell hypotheses apart: their errors are not independent
AT_ONCE = 16  # pictures that are read
LOSER = 0.05  # weight of hypotheses that do not explain a person


class Skeleton:
    """Joints of skeleton.BODY from rotations."""

    def __init__(self, body: Body) -> None:
        self.body = body.reduced(np.zeros(1, int), BODY)
        own = [self.body.joint_names.index(n) for n in BODY]
        names = list(BODY)
        self.parents = [-1 if j == 0 else names.index(self.body.joint_names[self.body.parents[own[j]]])
                        for j in range(len(BODY))]  # fmt: skip
        self.own = torch.tensor(own)

    def rest(self, betas: Tensor) -> Tensor:
        """[..., 22, 3] metres in the rest pose."""
        found = self.body.rest_joints(self.body.coefficients(betas.flatten(0, -2)))
        return found[:, self.own].unflatten(0, betas.shape[:-1])

    def __call__(self, rotation: Tensor, betas: Tensor) -> Tensor:
        """[N, 22, 3] metres about the pelvis."""
        rest = self.rest(betas)
        G, P = [rotation[:, 0]], [torch.zeros_like(rest[:, 0])]
        for j in range(1, len(BODY)):
            p = self.parents[j]
            P.append(P[p] + (G[p] @ (rest[:, j] - rest[:, p])[..., None])[..., 0])
            G.append(G[p] @ rotation[:, j])
        return torch.stack(P, 1)


def true_rotation(x: dict[str, Tensor]) -> Tensor:
    return torch.cat([x["true_root"][:, None], axis_angle_to_matrix(x["true_pose"])], 1)


def losses(out: PoseOutput, x: dict[str, Tensor], skeleton: Skeleton) -> dict[str, Tensor]:
    B, M = out.weight.shape
    R = true_rotation(x)
    target = skeleton(R, x["true_betas"])
    each = out.rotation.flatten(0, 1)
    joints = skeleton(each, out.betas.flatten(0, 1)).unflatten(0, (B, M))
    error = (joints - target[:, None]).norm(dim=-1)[..., 1:]  # [B, M, 21]
    sigma = out.sigma[..., 1:]
    cost = (3 * error / sigma + 3 * sigma.log()).mean(-1)
    mixture = -torch.logsumexp(out.weight.clamp(min=1e-6).log() - JOINTS * cost, 1) / JOINTS
    with torch.no_grad():
        share = (out.weight.clamp(min=1e-6).log() - JOINTS * cost).softmax(1)
        share = (1 - LOSER * M) * share + LOSER
    same = skeleton(each, x["true_betas"].repeat_interleave(M, 0)).unflatten(0, (B, M))
    shaped = (same - target[:, None]).norm(dim=-1)[..., 1:].mean(-1)
    turned = (out.rotation - R[:, None]).flatten(3).norm(dim=3)
    turned = turned[..., 0] + turned[..., 1:].mean(-1) * 2
    shape = (skeleton.rest(out.betas) - skeleton.rest(x["true_betas"])[:, None]).norm(dim=-1).mean(-1)
    up = (out.up - x["true_up"][:, None]).norm(dim=-1)
    far = (out.distance / x["true_distance"][:, None]).log().abs()
    extra = 10 * error.mean(-1) + 10 * shaped + turned + 10 * shape + 2 * up + 0.5 * far
    extra = extra + 0.02 * out.betas.square().mean(-1)
    rest = (share * extra).sum(1)
    loss = (mixture + rest).mean()
    return {"loss": loss, "mixture": mixture.mean(), "joints": (share * error.mean(-1)).sum(1).mean()}


def aligned(x: Tensor, y: Tensor) -> Tensor:
    """x [N, J, 3] turned, moved and scaled on to y."""
    mx, my = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    a, b = x - mx, y - my
    U, S, Vt = torch.linalg.svd(a.mT @ b)
    d = torch.ones_like(S)
    d[:, 2] = torch.linalg.det(U @ Vt).sign()
    R = (U * d[:, None]) @ Vt
    return (a @ R) * ((S * d).sum(1) / a.square().sum((1, 2)))[:, None, None] + my


def measure(out: PoseOutput, x: dict[str, Tensor], skeleton: Skeleton) -> dict[str, Tensor]:
    """[B] figures: MPJPE and PA-MPJPE (millimetres) of the likeliest hypothesis, of the best, pitch (degrees)."""
    B, M = out.weight.shape
    target = skeleton(true_rotation(x), x["true_betas"])
    joints = skeleton(out.rotation.flatten(0, 1), out.betas.flatten(0, 1)).unflatten(0, (B, M))
    error = 1000 * (joints - target[:, None]).norm(dim=-1).mean(-1)
    same = aligned(joints.flatten(0, 1), target.repeat_interleave(M, 0)).unflatten(0, (B, M))
    pa = 1000 * (same - target[:, None]).norm(dim=-1).mean(-1)
    k = out.weight.argmax(1, keepdim=True)
    up = out.up.gather(1, k[..., None].expand(-1, -1, 3))[:, 0]
    tilt = lambda u: u[:, 2].clamp(-1, 1).asin().rad2deg()  # noqa: E731
    pick = lambda v: v.gather(1, k)[:, 0]  # noqa: E731
    scale = target.norm(dim=-1).mean(-1, keepdim=True) / joints.norm(dim=-1).mean(-1)  # [B, M]
    depth = 1000 * (joints - target[:, None])[..., 2].abs().mean(-1)
    R, T = out.rotation[:, :, 0], x["true_root"][:, None]
    turn = (((R * T).sum((-1, -2)) - 1) / 2).clamp(-1, 1).acos().rad2deg()
    return {"mpjpe": pick(error), "pa": pick(pa), "best": error.amin(1), "best_pa": pa.amin(1),
            "depth": pick(depth), "turn": pick(turn), "pitch": (tilt(up) - tilt(x["true_up"])).abs(),
            "height": pick(scale.log().abs()), "far": pick((out.distance / x["true_distance"][:, None]).log().abs()),
            "expected": 1000 * pick(out.sigma.mean(-1))}  # fmt: skip


class PoseStage:
    """See :class:`dinar.train.state.Stage`."""

    averaged: Sequence[str] = ("pose",)

    def __init__(
        self,
        c: presets.PoseOptions,
        people: dict[str, np.ndarray],  # inputs and truth of N pictures
        validation: dict[str, np.ndarray],
        simulated: dict[str, np.ndarray] | None = None,  # of dinar.data.simulated
        start: Path | None = None,  # weights
    ) -> None:
        body = load_body()
        self.c, self.skeleton = c, Skeleton(body)
        self.people, self.validation, self.simulated = (
            {k: torch.from_numpy(v) for k, v in (a or {}).items()} for a in (people, validation, simulated)
        )
        if self.simulated:
            self.errors = Errors(Simulator(body, torch.zeros(0), torch.zeros(0)), self.people)
        torch.manual_seed(c.loop.seed)
        if start is None:
            net = PoseNet(c.width, c.blocks, c.hypotheses, self.people["true_betas"].shape[1], c.dropout)
            net.standardise(self.people)
        else:
            net = PoseNet.from_pretrained(start).train().requires_grad_(True)
        self.modules: dict[str, nn.Module] = {"pose": net}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "pose": torch.optim.AdamW(net.parameters(), c.lr, betas=(0.9, 0.99), weight_decay=c.weight_decay)
        }

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The index of a picture or of somebody simulated, and what is changed."""
        moved = rng.normal(0, self.c.noise * rng.uniform(0, 2), (33, 2))
        simulated = bool(self.simulated) and bool(rng.random() < self.c.share)
        index = rng.integers(len((self.simulated if simulated else self.people)["turn"]))
        return {"index": np.array(index), "simulated": np.array(simulated), "alike": np.array(rng.random()),
                "mirrored": np.array(rng.random() < 0.5),
                "roll": np.array(np.deg2rad(rng.normal(0, self.c.roll)), np.float32), "moved": moved.astype(np.float32),
                "lost": rng.random(33) < self.c.lost}  # fmt: skip

    def batch(self, drawn: dict[str, Tensor]) -> dict[str, Tensor]:
        """Inputs and truth of the drawn samples."""
        device, made = drawn["index"].device, drawn["simulated"].cpu()
        index = drawn["index"].cpu()
        x = {k: v[index.where(~made, 0)] for k, v in self.people.items()}
        if made.any():
            i = index[made]
            rows = self.simulated["alike"][i]
            pick = (drawn["alike"].cpu()[made] * rows.shape[1]).long()
            found = self.errors.add({k: self.simulated[k][i] for k in x}, rows.gather(1, pick[:, None])[:, 0].long())
            for k, v in x.items():
                v[made] = found[k]
        x = {k: v.to(device) for k, v in x.items()}
        other = mirrored(x)
        x = {k: torch.where(drawn["mirrored"].view(-1, *[1] * (v.ndim - 1)), other[k], v) for k, v in x.items()}
        x["keypoints"][..., :2] += drawn["moved"]
        for k in ("keypoints", "world"):
            x[k] = torch.where(drawn["lost"][..., None], 0.0, x[k])
        return rolled(x, drawn["roll"])

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        x = self.batch(batch)
        out = losses(self.modules["pose"](x), x, self.skeleton)
        state.update("pose", out["loss"])
        return out

    def show(self, averaged: dict[str, nn.Module], state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Figures of the held-out people; some drawn: the truth, two hypotheses, from the camera and from the side."""
        x = {k: v.to(state.device) for k, v in self.validation.items()}
        out = averaged["pose"](x)
        found = measure(out, x, self.skeleton)
        truth = self.skeleton(true_rotation(x), x["true_betas"])
        guess = [self.skeleton(out.rotation[:, k], out.betas[:, k]) for k in range(out.weight.shape[1])]
        guess = torch.stack(guess, 1).cpu()
        best = out.weight.argsort(dim=1, descending=True).cpu()
        tiles = []
        for i in np.linspace(0, len(truth) - 1, min(24, len(truth))).astype(int):
            bodies = [truth[i].cpu(), *guess[i][best[i][:2]]]
            tiles.append(np.hstack([drawn_skeleton(b, self.skeleton.parents, side)
                                    for side in (False, True) for b in bodies]))  # fmt: skip
        rows = [np.hstack(tiles[j : j + 3]) for j in range(0, len(tiles) - 2, 3)] or tiles[:1]
        return {k: float(v.mean()) for k, v in found.items()}, {"validation": np.vstack(rows)}

    def export(self, averaged: dict[str, nn.Module], folder: Path) -> None:
        net = averaged["pose"]
        assert isinstance(net, PoseNet)
        net.save_pretrained(folder)


def drawn_skeleton(
    joints: Tensor,  # [22, 3] metres: x right, y down, z away
    parents: Sequence[int],
    side: bool = False,  # seen from the person's left of the camera, else from the camera
    size: int = 128,
) -> np.ndarray:
    """[size, size, 3] uint8; left limbs red, right ones blue."""
    tile = np.full((size, size, 3), 255, np.uint8)
    xy = joints[:, [2, 1] if side else [0, 1]].numpy()
    xy = (xy * size / 2.4 + size / 2).round().astype(int)
    for j, p in enumerate(parents):
        colour = {"left": (220, 40, 40), "right": (40, 40, 220)}.get(BODY[j].split("_")[0], (60, 60, 60))
        if p >= 0:
            cv2.line(tile, xy[p].tolist(), xy[j].tolist(), colour, 2, cv2.LINE_AA)
    return tile


def _detect(item: tuple[int, int, int], source: Source, backgrounds: Path | None) -> dict[str, np.ndarray] | None:
    person, view, _ = item
    return detect(source.views(person, [view]), _scenes(backgrounds), np.random.default_rng(item))


@cache
def _scenes(folder: Path | None) -> Backgrounds:
    return Backgrounds(folder)


def read_set(source: Source, people: range, file: Path, init: Path, backgrounds: Path | None, reads: int, jobs: int
             ) -> dict[str, np.ndarray]:  # fmt: skip
    """Inputs and truth of all views in which BlazePose finds somebody, from ``file`` where it is there."""
    if not file.exists():
        items = [(i, k, r) for r in range(reads) for i in people for k in range(source.num_views(i))]
        rows = read_all(items, partial(_detect, source=source, backgrounds=backgrounds), load_surface(init), jobs)
        if not rows:
            raise DinarError("expected people whom BlazePose finds, found none")
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **{k: np.stack([r[k] for r in rows]) for k in rows[0]})  # type: ignore[arg-type]
    return read_npz(file, TABLE, what="pictures read by dinar train pose")


def read_all(
    items: Sequence[tuple[int, int, int]],
    work: Callable[[tuple[int, int, int]], dict[str, np.ndarray] | None],
    net: SurfaceNet,
    jobs: int,
) -> list[dict[str, np.ndarray]]:
    """Inputs and truth of what other processes find, in the order of the items; read here, some at a time."""
    waiting: list[tuple[tuple[int, int, int], dict[str, np.ndarray]]] = []
    rows: dict[tuple[int, int, int], dict[str, np.ndarray]] = {}

    def flush() -> None:
        for (item, x), row in zip(waiting, read([x for _, x in waiting], net), strict=True):
            rows[item] = row
            x.clear()  # the pool keeps all results
        waiting.clear()

    def done(item: tuple[int, int, int], outcome: dict[str, np.ndarray] | Failure | None) -> None:
        if isinstance(outcome, Failure):
            raise DinarError(outcome.reason)
        if outcome:
            waiting.append((item, outcome))
        if len(waiting) == AT_ONCE:
            flush()

    run_pool(work, items, jobs=jobs, done=done)
    flush()
    return [rows[i] for i in items if i in rows]


def simulated_set(read: dict[str, np.ndarray], count: int, motions: Path | None, seed: int, file: Path
                  ) -> dict[str, np.ndarray]:  # fmt: skip
    """:func:`dinar.data.simulated.simulate`, from ``file`` where it is there."""
    if not file.exists():
        found = simulate(load_body(), {k: torch.from_numpy(v) for k, v in read.items()}, count, motions, seed)
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **found)  # type: ignore[arg-type]
    table = TABLE | {"alike": Array(np.int32, ("N", "A"), 0)}
    return read_npz(file, table, what="people simulated by dinar train pose")


def train(
    data: Sequence[Path],
    run: Path,
    c: presets.PoseOptions,
    weights: Sequence[float] = (),
    init: Path | None = None,
    cpu: bool = False,
    dry_run: bool = False,
    backgrounds: Path | None = None,
    motions: Path | None = None,
    start: Path | None = None,
) -> bool:
    """The ``dinar train pose`` command.

    Args:
        data: sets of ``dinar synthesize --varied``; where there are several, the first is only validated on.
        weights: none can be given.
        init: weights of the surface network that reads the pictures; None: the shipped ones.
        backgrounds: a folder of pictures; None: patterns.
        motions: a folder of clips whose frames are poses of simulated people, too.
        start: weights of a pose network to go on from.
    """
    from .loop import train as loop

    if weights:
        raise DinarError("expected no --weights: the pose network is trained on all people alike")
    held, sources = split(data, c.holdout)
    if dry_run:
        held, sources = (held[0], held[1][:1]), [(s, people[:1]) for s, people in sources]
    run.mkdir(parents=True, exist_ok=True)
    with staging() if dry_run else nullcontext(run) as folder, PartialState(cpu=cpu).main_process_first():
        sets = [read_set(s, people, folder / f"read_{k}.npz", init or WEIGHTS, backgrounds, c.reads if k else 1,
                         max(1, c.loop.workers)) for k, (s, people) in enumerate([held, *sources])]  # fmt: skip
        people = {k: np.concatenate([s[k] for s in sets[1:]]) for k in TABLE}
        simulated = None
        if c.simulated and c.share:
            count = min(c.simulated, 64) if dry_run else c.simulated
            simulated = simulated_set(people, count, motions, c.loop.seed, folder / "simulated.npz")
    stage = PoseStage(c, people, {k: sets[0][k] for k in TABLE}, simulated, start)
    config = {"stage": "pose", "data": [str(f) for f in data], "init": str(init or ""),
              "backgrounds": str(backgrounds or ""), "motions": str(motions or ""), "start": str(start or ""),
              **dataclasses.asdict(c)}  # fmt: skip
    return loop(stage, dataclasses.replace(c.loop, workers=0), run, config, cpu=cpu, dry_run=dry_run)
