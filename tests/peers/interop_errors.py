"""Exceptions that both Python peers can import, outside `builtins`."""


class Boom(Exception):
    """Carries keyword arguments, which oslo.messaging sends along."""

    def __init__(self, message, **kwargs):
        super().__init__(message)
        self.kwargs = kwargs


class Plain(Exception):
    """A class without keyword arguments."""


class NotFound(Exception):
    """As services write them: a format, filled from keyword arguments."""

    msg_fmt = "no %(item)s for %(for)s"

    def __init__(self, message=None, **kwargs):
        self.kwargs = kwargs
        super().__init__(message or self.msg_fmt % kwargs)


class Short(Exception):
    """A class with positional arguments."""

    def __init__(self, have, want):
        super().__init__(have, want)
        self.have = have
        self.want = want
