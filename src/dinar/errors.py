"""The one exception that users see: a line that says what was expected, what came, and what to do."""


class DinarError(Exception):
    """Bad input or a missing resource. The command line prints the message and exits with status 1."""
