"""One file a command: its options (a dataclass that tyro reads; the docstrings are the help) and its function."""
