"""Networks (app. C): tensors in, tensors out; sizes in :mod:`.presets`, costs by ``python -m dinar.nets``."""
