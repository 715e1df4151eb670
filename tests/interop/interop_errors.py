"""Exceptions that both Python peers can import, outside `builtins`."""


class Boom(Exception):
    """Carries keyword arguments, which oslo.messaging sends along."""

    def __init__(self, message, **kwargs):
        super().__init__(message)
        self.kwargs = kwargs


class Plain(Exception):
    """A class without keyword arguments."""
