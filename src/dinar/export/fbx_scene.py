"""The parts of an FBX file around its objects: numbers, connections, header, settings and definitions."""

from __future__ import annotations

from typing import Any

from ..version import __version__
from .fbx_file import CREATED, FILE_ID, VERSION, Long, Node
from .model import Model

SECOND = 46_186_158_000  # units of FBX's time


class Scene:
    """Objects, numbered in the order of their making, and their connections."""

    def __init__(self) -> None:
        self.objects = Node("Objects")
        self.connections = Node("Connections")

    def object(self, kind: str, name: str, sub: str, family: str | None = None) -> Node:
        number = Long(1_000_000 + len(self.objects.children))
        return self.objects.add(kind, number, f"{name}\0\1{family or kind}", sub)

    def connect(self, child: Node, parent: Node | None = None, attribute: str = "") -> None:
        """To a parent (None: the scene), or to its property."""
        to = Long(0) if parent is None else parent.properties[0]
        more = [attribute] if attribute else []
        self.connections.add("C", "OP" if more else "OO", child.properties[0], to, *more)

    def nodes(self, model: Model) -> list[Node]:
        kinds: dict[str, int] = {"GlobalSettings": 1}
        for o in self.objects.children:
            kinds[o.name] = kinds.get(o.name, 0) + 1
        definitions = Node("Definitions")
        definitions.add("Version", 100)
        definitions.add("Count", sum(kinds.values()))
        for kind, count in kinds.items():
            definitions.add("ObjectType", kind).add("Count", count)
        takes = Node("Takes")
        takes.add("Current", model.tracks[0].name if model.tracks else "")
        for t in model.tracks:
            take = takes.add("Take", t.name)
            take.add("FileName", f"{t.name}.tak")
            take.add("LocalTime", Long(0), time(t.seconds[-1]))
            take.add("ReferenceTime", Long(0), time(t.seconds[-1]))
        return [definitions, self.objects, self.connections, takes]


def header(model: Model) -> list[Node]:
    how, creator = model.profile, f"dinar {__version__}"
    head = Node("FBXHeaderExtension")
    head.add("FBXHeaderVersion", 1003)
    head.add("FBXVersion", VERSION)
    head.add("EncryptionType", 0)
    stamp = head.add("CreationTimeStamp")
    for name, value in (("Version", 1000), ("Year", 1970), ("Month", 1), ("Day", 1), ("Hour", 10), ("Minute", 0),
                        ("Second", 0), ("Millisecond", 0)):  # fmt: skip
        stamp.add(name, value)
    head.add("Creator", creator)
    info = head.add("SceneInfo", "GlobalInfo\0\1SceneInfo", "UserData")
    info.add("Type", "UserData")
    info.add("Version", 100)
    info.settings(
        ("Original|ApplicationName", "KString", "", "", "dinar"),
        ("Original|ApplicationVersion", "KString", "", "", __version__),
        ("License", "KString", "", "", str(model.notes.get("license", ""))),
    )
    rate = model.tracks[0] if model.tracks else None
    fps = float(1 / rate.seconds[1]) if rate is not None and len(rate.seconds) > 1 else 30.0
    end = max((time(t.seconds[-1]) for t in model.tracks), default=Long(SECOND))
    settings = Node("GlobalSettings")
    settings.add("Version", 1000)
    up, front, sign = (2, 1, -1) if how.z_up else (1, 2, 1)
    axes = {"UpAxis": up, "UpAxisSign": 1, "FrontAxis": front, "FrontAxisSign": sign, "CoordAxis": 0,
            "CoordAxisSign": 1, "OriginalUpAxis": up, "OriginalUpAxisSign": 1}  # fmt: skip
    settings.settings(
        *((name, "int", "Integer", "", value) for name, value in axes.items()),
        ("UnitScaleFactor", "double", "Number", "", 100.0 / how.scale),  # centimetres
        ("OriginalUnitScaleFactor", "double", "Number", "", 100.0 / how.scale),
        ("DefaultCamera", "KString", "", "", "Producer Perspective"),
        ("TimeMode", "enum", "", "", 14),  # the rate below
        ("TimeSpanStart", "KTime", "Time", "", Long(0)),
        ("TimeSpanStop", "KTime", "Time", "", end),
        ("CustomFrameRate", "double", "Number", "", fps),
    )
    documents = Node("Documents")
    documents.add("Count", 1)
    document = documents.add("Document", Long(999_999), "Scene", "Scene")
    document.add("RootNode", Long(0))
    plain = [Node("FileId", [FILE_ID]), Node("CreationTime", [CREATED.decode()]), Node("Creator", [creator])]
    return [head, *plain, settings, documents, Node("References")]


def vector(name: str, values: Any, kind: str = "") -> tuple[Any, ...]:
    return (name, kind or name, "Vector" if kind else "", "" if kind else "A", *(float(x) for x in values))


def time(seconds: float) -> Long:
    return Long(round(float(seconds) * SECOND))
