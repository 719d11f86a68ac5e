"""The one error of the local model: a plain sentence that says what happened and what to do next."""


class LocalModelError(Exception):
    """The local model's weights cannot be had, or its server cannot run; the message is meant for the user."""
