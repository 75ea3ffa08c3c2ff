"""dinar: one photo of a person in; a rigged, animatable, photo-like full-body avatar out."""

__version__ = "0.1.0.dev0"
