"""A stage of two small networks with two optimisers, to test the loop; run as a script it trains on its own.

python toy_stage.py RUN SECONDS_A_STEP
"""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import nn

from dinar.train.loop import train
from dinar.train.presets import Loop

LOOP = Loop(steps=24, batch=8, micro_batch=8, warmup=3, ema=0.9, log_every=5, show_every=12, save_every=5, seed=3)


class Toy:
    averaged = ("net",)

    def __init__(self, pause=0.0, dropout=0.2, stop_at=None, group=False):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 1))
        self.modules = {"net": net, "critic": nn.Linear(1, 1)}
        self.optimizers = {
            "net": torch.optim.AdamW(net.parameters(), lr=1e-2),
            "critic": torch.optim.Adam(self.modules["critic"].parameters(), lr=1e-2),
        }
        self.pause, self.stop_at, self.group, self.seen = pause, stop_at, group, []

    def sample(self, i, rng):
        x = rng.normal(size=4).astype(np.float32)
        return {"x": x, "y": x[:1] * x[1:2], "i": np.int64(i)}

    def step(self, batch, state):
        time.sleep(self.pause)
        if state.step == self.stop_at:
            if self.group:  # from elsewhere: to a signal of its parent a worker ends as if it were done
                subprocess.run(["kill", "-TERM", *(str(p.pid) for p in psutil.Process().children())], check=True)
                time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGTERM)
        self.seen += batch["i"].tolist()
        out = self.modules["net"](batch["x"])
        critic = (self.modules["critic"](out.detach()) - batch["y"]).square().mean()
        state.update("critic", critic)
        loss = (out - batch["y"]).square().mean()
        state.update("net", loss)
        return {"loss": loss, "critic": critic}

    def show(self, averaged, state):
        x = torch.randn(64, 4)  # must not move the run's own random state
        return {"error": float(averaged["net"](x).square().mean())}, {"grey": np.full((8, 8, 3), 128, np.uint8)}

    def export(self, averaged, folder):
        folder.mkdir(exist_ok=True)
        torch.save(averaged["net"].state_dict(), folder / "net.pt")


def run_toy(run, stage=None, **loop):
    stage = stage or Toy()
    loop = dataclasses.replace(LOOP, **loop)
    return train(stage, loop, Path(run), dataclasses.asdict(loop), cpu=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 3:  # one of several processes, without dropout: their random states differ
        run_toy(sys.argv[1], Toy(dropout=0.0), steps=4, micro_batch=4)
    else:
        run_toy(sys.argv[1], Toy(float(sys.argv[2])))
