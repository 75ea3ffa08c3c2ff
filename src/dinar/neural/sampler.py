"""Samplers of the diffusion model (§3.3, §3.4): DDPM, DDIM and DPM-Solver++ through diffusers' schedulers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import DinarError
from ..nets.denoiser import Denoiser

STEPS = 1000  # T of §3.3
BETAS = (3e-4, 2e-2)  # linear schedule of the released system

SAMPLERS = {"ddpm": 1000, "ddim": 200, "ddim0": 50, "dpm++": 20}
"""Samplers and their default steps: ancestral DDPM; DDIM with η = 1 (the released system) and η = 0; DPM-Solver++ of
second order."""


def noise_schedule(name: str = "ddpm", prediction: str = "epsilon") -> Any:
    """A diffusers scheduler with the training schedule; ``name`` is a key of SAMPLERS."""
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    shared: dict[str, Any] = {"num_train_timesteps": STEPS, "beta_start": BETAS[0], "beta_end": BETAS[1],
                              "beta_schedule": "linear", "prediction_type": prediction}  # fmt: skip
    if name == "ddpm":
        return DDPMScheduler(**shared, clip_sample=False)
    if name in ("ddim", "ddim0"):
        return DDIMScheduler(**shared, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing")
    if name == "dpm++":
        return DPMSolverMultistepScheduler(**shared, algorithm_type="dpmsolver++", solver_order=2,
                                           final_sigmas_type="zero", timestep_spacing="trailing")  # fmt: skip
    raise DinarError(f"expected a sampler of {', '.join(SAMPLERS)}, got {name}")


@torch.no_grad()
def denoise(
    net: Denoiser,
    condition: Tensor,  # [B, conditions, s, s]
    seeds: Sequence[int],  # one for each sample; a sample depends on its own seed only
    sampler: str = "dpm++",
    steps: int | None = None,  # None: as in SAMPLERS
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:  # [B, 6, s, s] latents of the VQGAN
    """Denoise from pure noise (§3.4). Noise is drawn on the CPU, so that a seed gives the same on every device."""
    if len(seeds) != len(condition):
        raise DinarError(f"expected a seed for each of {len(condition)} samples, got {len(seeds)}")
    scheduler = noise_schedule(sampler, net.config["prediction"])
    scheduler.set_timesteps(steps or SAMPLERS[sampler])
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    shape = (net.config["latent"], *condition.shape[2:])

    def noise() -> Tensor:
        return torch.stack([torch.randn(shape, generator=g) for g in generators]).to(condition.device)

    x = noise()
    eta: dict[str, Any] = {"ddim": {"eta": 1.0}, "ddim0": {"eta": 0.0}}.get(sampler, {})
    for k, t in enumerate(scheduler.timesteps):
        prediction = net(x, t.to(x.device).expand(len(x)), condition).float()
        random: dict[str, Any] = {"variance_noise": noise()} if sampler == "ddim" else {}
        if sampler == "ddpm" and t > 0:
            random = {"generator": generators}
        x = scheduler.step(prediction, t, x, **eta, **random).prev_sample
        progress(k + 1, len(scheduler.timesteps))
    return net.denormalize(x)
