"""BVH files as text -> joints, channels and numbers, within bounds that a person's motion keeps."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import DinarError

MAX_BYTES = 1 << 28
MAX_JOINTS = 2000
MAX_TRANSFORMS = 1 << 21  # frames x joints: 200 MB of rotations while they are read; 95,000 frames of 22 joints
MAX_NUMBER = 1e6  # degrees, and a kilometre in millimetres


@dataclass
class Bvh:
    """A parsed file. Rotations are local, in the axes of the zero pose (all joint frames parallel)."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)
    values: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))  # [T, channels] degrees and file units
    frame_time: float = 1 / 30


def read_text(path: Path) -> str:
    """The text of a file of bounded size; what is not UTF-8 is taken as latin1."""
    if (size := path.stat().st_size) > MAX_BYTES:
        raise DinarError(f"{path.name}: expected a text file of at most {MAX_BYTES >> 20} MiB, got {size >> 20} MiB; "
                         "cut the motion into shorter files")  # fmt: skip
    data = path.read_bytes()
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin1")


def parse_bvh(text: str, file: str) -> Bvh:
    """HIERARCHY and MOTION of a BVH file; channels in any order, positions on any joint."""
    parts = re.split(r"^[ \t]*MOTION[ \t]*\r?$", text, maxsplit=1, flags=re.M | re.I)
    if len(parts) < 2:
        raise _refusal(file, "a MOTION section after HIERARCHY", "the end of the file")
    if re.search(r"OFFSET\s+-?\d+,\d", parts[0]):
        raise _refusal(file, "numbers with decimal points", "decimal commas")
    out = _parse_hierarchy(parts[0], file)
    return _parse_motion(parts[1], out, file)


def _refusal(file: str, expected: str, got: str) -> DinarError:
    return DinarError(f"{file}: expected {expected}, got {got}; export the BVH file again")


def _parse_hierarchy(text: str, file: str) -> Bvh:
    out, stack, end_site = Bvh(), [], False
    current = -1
    try:
        for line in text.replace("{", " { ").replace("}", " } ").splitlines():
            words = line.split()
            key = words[0].upper() if words else ""
            if key in ("ROOT", "JOINT"):
                out.names.append(" ".join(w for w in words[1:] if w != "{"))
                out.parents.append(stack[-1] if stack else -1)
                out.offsets.append([0.0, 0.0, 0.0])
                out.channels.append([])
                current = len(out.names) - 1
            elif key == "END":
                end_site, current = True, -1
            elif key == "OFFSET" and current >= 0:
                out.offsets[current] = [float(w) for w in words[1:4]]
            elif key == "CHANNELS" and current >= 0:
                out.channels[current] = _channels(words, out.names[current], file)
            for w in words:
                if w == "{":
                    stack.append(stack[-1] if end_site else current)
                    end_site = False
                elif w == "}":
                    stack.pop()
                    current = -1
        if stack or not out.names or any(len(o) != 3 for o in out.offsets):
            raise IndexError
    except (IndexError, ValueError):
        raise _refusal(file, "a well-formed HIERARCHY", "unbalanced braces or missing numbers") from None
    if len(out.names) > MAX_JOINTS:
        raise _refusal(file, f"at most {MAX_JOINTS} joints", str(len(out.names)))
    if not np.abs(out.offsets).max() <= MAX_NUMBER:
        raise _refusal(file, f"offsets of at most {MAX_NUMBER:g}", "more, or NaN")
    return out


def _channels(words: list[str], joint: str, file: str) -> list[str]:
    listed = [w.capitalize() for w in words[2:]]
    others = [w for w in listed if not re.fullmatch(r"[XYZ](position|rotation)", w)]
    if any(w.endswith("scale") for w in others):
        raise DinarError(f"{file}: expected channels of position and rotation, got {', '.join(others)} at {joint}; "
                         "scale is not read: export the BVH file without it")  # fmt: skip
    if others:
        raise _refusal(file, "channels such as Xposition and Zrotation", f"{' '.join(others)} at {joint}")
    if len(listed) != int(words[1]):
        raise _refusal(file, f"{words[1]} channels at {joint}", " ".join(listed) or "none")
    return listed


def _parse_motion(text: str, out: Bvh, file: str) -> Bvh:
    header = re.match(r"\s*Frames\s*:\s*(\d{1,12})\s+Frame\s+Time\s*:\s*([-+.\deE]{1,40})\s*", text, re.I)
    if not header:
        raise _refusal(file, "Frames and Frame Time in the MOTION section", text.strip()[:40] or "nothing")
    width, count = sum(map(len, out.channels)), int(header[1])
    try:
        out.frame_time = float(header[2])
    except ValueError:
        raise _refusal(file, "a Frame Time in seconds", header[2]) from None
    if not 0.001 <= out.frame_time <= 10:
        raise _refusal(file, "a Frame Time in seconds", f"{out.frame_time:g}")
    if count * len(out.names) > MAX_TRANSFORMS:
        raise DinarError(f"{file}: expected at most {MAX_TRANSFORMS // len(out.names)} frames of {len(out.names)} "
                         f"joints, got {count}; cut the motion into shorter files")  # fmt: skip
    if not count or not width:
        raise _refusal(file, "at least one frame", f"{count} frames of {width} channels")
    numbers = _numbers(text[header.end() :], file)
    if numbers.size != count * width:
        raise _refusal(file, f"{count} frames of {width} channels ({count * width} numbers)",
                       f"{numbers.size} ({numbers.size / count:.2f} a frame)")  # fmt: skip
    if not (np.abs(numbers) <= MAX_NUMBER).all():
        raise _refusal(file, f"finite numbers of at most {MAX_NUMBER:g}", "NaN or more")
    out.values = numbers.reshape(count, width)
    return out


def _numbers(text: str, file: str) -> np.ndarray:
    """The numbers of a text, line by line: its words never lie in memory together."""
    parts = []
    for line in io.StringIO(text):
        words = line.split()
        try:
            parts.append(np.fromiter(map(float, words), np.float64, len(words)))
        except ValueError:
            bad = next((w for w in words if not _is_number(w)), line)
            raise _refusal(file, "numbers in the MOTION section", bad[:40]) from None
    return np.concatenate(parts) if parts else np.zeros(0)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
