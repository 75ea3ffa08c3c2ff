"""Training samples of the viseme network: texts spoken by the synthesisers eSpeak NG and Flite, which tell the time of
every phoneme. Both are programs of most Linux systems (Debian: ``espeak-ng``, ``flite``); only training needs them.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..arrays import Array, read_text
from ..body.visemes import VISEMES
from ..errors import DinarError
from ..speech.sound import BANDS, HOP, RATE, mel, read_sound

TABLE = {
    "mel": Array(np.float16, ("N", BANDS + 1), -100, 100),
    "viseme": Array(np.uint8, ("N",), 0, len(VISEMES) - 1),
    "start": Array(np.int64, ("U",), 0),  # first frame of every sentence
    "held": Array(np.uint8, ("U",), 0, 1),  # spoken by the voice that is kept for validation
}
LANGUAGES = ("en-us", "en-gb", "en-gb-scotland", "de", "fr-fr", "es", "it", "pt", "nl", "pl", "sv", "fi", "tr")
VARIANTS = ("", *(f"+f{k}" for k in range(1, 6)), *(f"+m{k}" for k in range(1, 9)))
FLITE = ("awb", "rms", "kal16", "slt")  # the first two and the last are made from recorded people
HELD = "slt"  # the voice of validation
ESPEAK_SHARE = 0.4  # of the sentences
SCALE = 0.8, 1.3  # how much faster, with higher formants, sentences are played: throats of other sizes

# First letters of IPA symbols, longest first, to visemes; what is not here is silence.
_IPA = {
    "tʃ": "CH", "dʒ": "CH", "ts": "CH", "dz": "CH", "tɕ": "CH", "dʑ": "CH",
    **dict.fromkeys("pbm", "PP"), **dict.fromkeys("fvʋɱ", "FF"), **dict.fromkeys("θð", "TH"),
    **dict.fromkeys("tdʈɖ", "DD"), **dict.fromkeys("kgɡqcɟxɣχhɦħ", "kk"), **dict.fromkeys("szɕʑç", "SS"),
    **dict.fromkeys("ʃʒʂʐ", "CH"), **dict.fromkeys("nŋɲɳlɫʎɭj", "nn"), **dict.fromkeys("rɹɾʁʀɻɐ̯", "RR"), "w": "U",
    **dict.fromkeys("aɑæɐʌ", "aa"), **dict.fromkeys("eɛəɜɚɘɤ", "E"), **dict.fromkeys("iɪɨ", "I"),
    **dict.fromkeys("oɔɒøœ", "O"), **dict.fromkeys("uʊyʏɯʉ", "U"),
}  # fmt: skip
_CMU = {
    "p": "PP", "b": "PP", "m": "PP", "f": "FF", "v": "FF", "th": "TH", "dh": "TH", "t": "DD", "d": "DD", "k": "kk",
    "g": "kk", "hh": "kk", "ch": "CH", "jh": "CH", "sh": "CH", "zh": "CH", "s": "SS", "z": "SS", "n": "nn", "ng": "nn",
    "l": "nn", "y": "nn", "r": "RR", "w": "U", "er": "RR", "aa": "aa", "ae": "aa", "ah": "aa", "ax": "E", "ay": "aa",
    "aw": "aa", "eh": "E", "ey": "E", "ih": "I", "iy": "I", "ao": "O", "ow": "O", "oy": "O", "uh": "U", "uw": "U",
}  # fmt: skip


def viseme_of(ipa: str) -> int:
    """Index into VISEMES of a phoneme in the International Phonetic Alphabet."""
    plain = re.sub("[ˈˌ_ ]", "", ipa)
    return VISEMES.index(_IPA.get(plain[:2], _IPA.get(plain[:1], "sil")))


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int), ("uid", ctypes.c_uint), ("position", ctypes.c_int), ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )  # fmt: skip


class Espeak:
    """eSpeak NG's library."""

    def __init__(self) -> None:
        try:
            self.lib = ctypes.CDLL("libespeak-ng.so.1")
        except OSError:
            raise DinarError("expected eSpeak NG to speak the texts, found no libespeak-ng.so.1; install it, for "
                             "example with apt install espeak-ng") from None  # fmt: skip
        self.rate = self.lib.espeak_Initialize(2, 0, None, 3)  # synchronous; phoneme events in IPA
        self.sound: list[np.ndarray] = []
        self.phonemes: list[tuple[float, int]] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
        self.callback = kind(self._heard)
        self.lib.espeak_SetSynthCallback(self.callback)

    def _heard(self, samples, count, events) -> int:
        if samples and count > 0:
            self.sound.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / 32768)
        i = 0
        while events[i].type:
            if events[i].type == 7:
                name = events[i].name.decode("utf-8", "ignore")
                self.phonemes.append((events[i].milliseconds / 1000, viseme_of(name)))
            i += 1
        return 0

    def __call__(self, text: str, voice: str, speed: int, pitch: int) -> tuple[np.ndarray, list[tuple[float, int]]]:
        """Samples at RATE, and when every viseme begins, seconds."""
        self.sound, self.phonemes = [], []
        self.lib.espeak_SetVoiceByName(voice.encode())
        self.lib.espeak_SetParameter(1, speed, 0)
        self.lib.espeak_SetParameter(3, pitch, 0)
        data = text.encode() + b"\0"
        self.lib.espeak_Synth(data, len(data), 0, 1, 0, 1, None, None)
        x = np.concatenate(self.sound) if self.sound else np.zeros(1, np.float32)
        t = np.arange(int(len(x) / self.rate * RATE)) * self.rate / RATE
        return np.interp(t, np.arange(len(x)), x).astype(np.float32), self.phonemes


def flite(text: str, voice: str, stretch: float) -> tuple[np.ndarray, list[tuple[float, int]]]:
    """As :class:`Espeak`, by the program flite."""
    if shutil.which("flite") is None:
        raise DinarError("expected Flite to speak the texts, found no program flite; install it, for example with apt "
                         "install flite")  # fmt: skip
    plain = text.encode("ascii", "ignore").decode()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "said.wav"
        how = ("-voice", voice, "-psdur", "--setf", f"duration_stretch={stretch}")
        command = ["flite", *how, "-t", plain, "-o", str(file)]
        said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        if not file.is_file() or file.stat().st_size < 2 * RATE:  # nothing in it that Flite says
            return np.zeros(0, np.float32), []
        x = read_sound(file)
    begins, out = 0.0, []
    for name, end in re.findall(r"(\w+):([\d.]+)", said):
        out.append((begins, VISEMES.index(_CMU.get(name, "sil"))))
        begins = float(end)
    return x, out


def labels(times: list[tuple[float, int]], frames: int) -> np.ndarray:
    """[frames] uint8 visemes: of the middle of each frame, which is at k HOP."""
    at = (np.arange(frames)) * HOP / RATE
    begins = np.array([t for t, _ in times] or [np.inf])
    which = np.searchsorted(begins, at, side="right") - 1
    kinds = np.array([v for _, v in times] or [0], np.uint8)
    return np.where(which >= 0, kinds[which.clip(0)], 0).astype(np.uint8)


def sentences(files: list[Path]) -> list[str]:
    """Parts of 20 to 120 letters of text files, cut at punctuation."""
    texts = [read_text(f) for f in files]
    if binary := [f for f, text in zip(files, texts, strict=True) if "\0" in text]:
        raise DinarError(f"{binary[0]}: expected a text file, got a binary file")
    text = " ".join(texts)
    parts = re.split(r"[.;:!?\n]+", re.sub(r"[^\w\s.,;:!?'\n-]+|_", " ", text))
    found = [" ".join(p.split()) for p in parts]
    return [p for p in dict.fromkeys(found) if 20 <= len(p) <= 120]


def spoken(texts: list[str], count: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """``count`` sentences by random voices: mel [T, BANDS + 1], viseme [T], held."""
    rng, espeak = np.random.default_rng(seed), Espeak()
    for _ in range(count):
        text = texts[int(rng.integers(len(texts)))]
        voice = ""
        if rng.random() < ESPEAK_SHARE:
            name = f"{rng.choice(LANGUAGES)}{rng.choice(VARIANTS)}"
            x, times = espeak(text, name, int(rng.integers(120, 220)), int(rng.integers(20, 80)))
        else:
            voice = str(rng.choice(FLITE))
            x, times = flite(text, voice, float(rng.uniform(0.9, 1.4)))
        if len(x) < RATE or not times:
            continue
        if voice != HELD:
            scale = np.exp(rng.uniform(*np.log(SCALE)))
            x = np.interp(np.arange(int(len(x) / scale)) * scale, np.arange(len(x)), x).astype(np.float32)
            times = [(t / scale, v) for t, v in times]
        m = mel(x)
        yield {"mel": m.astype(np.float16), "viseme": labels(times, len(m)), "held": np.array(voice == HELD, np.uint8)}
