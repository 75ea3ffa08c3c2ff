"""People to learn from: views of one person with everything known about them, from wherever they come (§4.2)."""

from .views import Params, Source, Views

__all__ = ["Params", "Source", "Views"]
