"""``python -m dinar.nets``: parameters and multiply-adds of every network in every preset."""

from .costs import table

print(table())
