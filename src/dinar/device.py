"""Where networks and pictures are computed: one setting of the process, which its worker processes inherit.

    dinar create photo.jpg --device cuda
    dinar.use("cuda")

What runs there, and what stays on the CPU because that is faster, is in docs/speed.md.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from .bounds import check_device

VARIABLE = "DINAR_DEVICE"  # environment variable with the name of the device; unset: auto


def use(name: str) -> torch.device:
    """Compute on ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` from now on.

    Raises:
        DinarError: there is no such device here.
    """
    check_device(name)
    os.environ[VARIABLE] = name
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, products on CUDA are not repeatable
    return current()


def current() -> torch.device:
    """The device in use. ``auto`` is the CPU, until the code for GPUs has been measured on one (docs/speed.md)."""
    name = os.environ.get(VARIABLE, "auto")
    check_device(name)
    return torch.device("cpu" if name == "auto" else name)


def network_dtype(device: torch.device) -> torch.dtype:
    """Of the networks that read photos: half precision on CUDA, where it is twice as fast and its errors are far below
    those of the networks; bf16 where the CPU multiplies it in hardware (AMX), else float32."""
    if device.type == "cuda":
        return torch.float16
    cpu = getattr(torch.cpu, "get_capabilities", dict)()  # younger than the oldest torch that will do
    return torch.bfloat16 if device.type == "cpu" and cpu.get("amx_bf16") else torch.float32


def half(device: torch.device) -> AbstractContextManager:
    """Convolutions and matrix products in half precision, on CUDA."""
    return torch.autocast("cuda", torch.float16) if device.type == "cuda" else nullcontext()
