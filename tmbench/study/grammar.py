"""Words of the user in Hydra's grammar of overrides."""

import re


def quoted(text: str) -> str:
    """``text`` as a value of Hydra's grammar; bare where that reads it as it stands."""
    if re.fullmatch(r"[\w:/.@%+-]+", text, re.ASCII):
        return text
    doubled = re.sub(r"(\\+)(?='|$)", lambda found: 2 * found[0], text)  # a backslash means itself elsewhere
    escaped = doubled.replace("'", "\\'")
    return f"'{escaped}'"
