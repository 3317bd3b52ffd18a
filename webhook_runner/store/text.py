"""Text that any database takes."""


def plain(text: str) -> str:
    """Return it without what is no text: halves of surrogate pairs, and NUL characters."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
