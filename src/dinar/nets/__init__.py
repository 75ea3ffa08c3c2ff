"""The networks of app. C. :mod:`.presets` has their sizes, ``python -m dinar.nets`` prints their costs."""
