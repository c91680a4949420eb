"""What can go wrong here, by meaning. A message is one sentence for the person at the terminal."""


class ClusterError(Exception):
    """Something the user can act on; the program prints it and ends with 1."""


class Missing(ClusterError):
    """The machine lacks something that cannot be installed from here."""


class NotReady(ClusterError):
    """What was started did not become ready in time; the message names its log."""


class SourceRefused(ClusterError):
    """One source of programs does not have them; the next is asked."""
