"""Multi-view sets in tar files, for several machines and file systems that are slow with small files.

A shard contains the files of :mod:`.folder` with webdataset's names: ``NAME.rgb.00.jpg``, ``NAME.views.npz`` and so on.
The files of a person are adjacent. Each ``shard-000000.tar`` has ``per_shard`` people, the last one possibly fewer. The
same people give the same bytes; a shard is created when it is complete.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from ..errors import DinarError
from ..files import file_name, replacing
from ..views import Views
from .folder import JPEG, Folder, decode, encode, read_arrays, read_header


def shard_path(folder: str | Path, k: int) -> Path:
    """Path of shard k of a set. If it exists, it is complete."""
    return Path(folder) / f"shard-{k:06d}.tar"


def write_shard(folder: str | Path, k: int, people: Iterable[Views], jpeg: int = JPEG) -> Path:
    """Write people in order as shard k of a set made with ``start_set(..., layout="shards", per_shard=n)``."""
    path = shard_path(folder, k)
    with replacing(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for views in people:
            for name, data in encode(views, jpeg).items():
                info = tarfile.TarInfo(f"{views.name}.{name.replace('/', '.')}")  # no owner or time
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


@lru_cache(maxsize=256)
def _index(path: Path, _modified: int) -> dict[str, dict[str, tuple[int, int]]]:
    """Offset and length of each person's files in a shard."""
    people: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        end = path.stat().st_size
        with tarfile.open(path, "r:") as tar:
            last = -1
            for m in tar:
                if not m.isreg() or m.offset_data <= last or not 0 <= m.size <= end - m.offset_data:
                    raise DinarError(f"{path}: expected a tar of people, but the place of a file in it is impossible")
                last = m.offset_data
                name, _, file = m.name.partition(".")
                people.setdefault(file_name(name, str(path)), {})[file] = m.offset_data, m.size
    except DinarError:
        raise
    except Exception:  # tarfile raises its own errors, OSError, ValueError, OverflowError and more
        raise DinarError(f"{path}: expected a tar of people, got another or a damaged file") from None
    return people


class Shards:
    """A set of shards as a source of people."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.header = read_header(folder, "shards")
        self.body: str = self.header["body"]
        self.paths = sorted(p for p in self.folder.glob("shard-*.tar") if p.is_file())
        per_shard = self.header.get("per_shard")
        if type(per_shard) is not int or not 1 <= per_shard <= 10**6:
            raise DinarError(f"{self.folder / 'dataset.json'}: expected per_shard, the people in each shard, 1 or more")
        self.per_shard: int = per_shard
        last = len(self._people(self.paths[-1])) if self.paths else 0
        self._num_people = max(0, len(self.paths) - 1) * self.per_shard + last

    @property
    def num_people(self) -> int:
        return self._num_people

    @staticmethod
    def _people(path: Path) -> dict[str, dict[str, tuple[int, int]]]:
        return _index(path, path.stat().st_mtime_ns)

    def _read(self, i: int) -> tuple[Callable[[str], bytes], str]:
        if not 0 <= i < self._num_people:
            raise DinarError(f"{self.folder}: expected an index of {self._num_people} people, got {i}")
        path = self.paths[i // self.per_shard]
        people = self._people(path)
        if i % self.per_shard >= len(people):
            raise DinarError(f"{path}: expected {self.per_shard} people as dataset.json says, got {len(people)}")
        name = list(people)[i % self.per_shard]
        files = people[name]

        def read(file: str) -> bytes:
            try:
                start, length = files[file.replace("/", ".")]
                with path.open("rb") as f:
                    f.seek(start)
                    data = f.read(length)
            except (KeyError, OSError) as e:
                raise DinarError(f"{path}: {name}.{file.replace('/', '.')} cannot be read; the shard is damaged") from e
            if len(data) != length:
                raise DinarError(f"{path}: cut short at {name}.{file.replace('/', '.')}")
            return data

        return read, f"{path}:{name}"

    def num_views(self, i: int) -> int:
        read, where = self._read(i)
        return len(read_arrays(read("views.npz"), where)["view_names"])

    def views(self, i: int, indices: Sequence[int] | None = None) -> Views:
        read, where = self._read(i)
        return decode(read, indices, where)


def open_set(folder: str | Path) -> Folder | Shards:
    """Open a multi-view set, a folder or shards."""
    return Shards(folder) if read_header(folder)["layout"] == "shards" else Folder(folder)
