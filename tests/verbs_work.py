"""Verbs called as a user calls them, in this process."""

import json

from tmbench.cli import main as tmbench


def said(capsys, *words):
    """(exit code, stdout, stderr) of a verb."""
    code = tmbench(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def facts(capsys, *words):
    return json.loads(said(capsys, *words, "--json")[1])
