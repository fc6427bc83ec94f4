"""What is raised for data that cannot be trained on or scored."""

from tmbench.errors import TmbenchError


class BadData(TmbenchError):
    """A target gave something that cannot be trained on or scored."""
