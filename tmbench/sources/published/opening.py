"""A file of weights as named tensors: safetensors, or a torch file that holds nothing but tensors and plain data."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tmbench.sources import BadWeights
from tmbench.sources.options import FileWeights
from tmbench.sources.published.entries import Entries

WRAPPERS = ("model", "state_dict", "module")
"""Keys under which published checkpoints keep the weights, beside an optimizer's state and the like."""

PARALLEL = "module."
"""What PyTorch's data parallel training puts before every name."""


def entries_of(weights: FileWeights) -> Entries:
    """The tensors of the file by name, on the CPU, out of whatever they were wrapped in.

    Raises:
        BadWeights: when the file is damaged, holds no tensors, or would have to be unpickled.
    """
    path = Path(weights.file)
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch_file(path, weights)
    entries = _unwrapped(content)
    if not entries:
        raise BadWeights(f"{path} holds no named tensors; name a file of weights (weights.file).")
    if all(name.startswith(PARALLEL) for name in entries):
        entries = {name.removeprefix(PARALLEL): value for name, value in entries.items()}
    return entries


def _safetensors(path: Path) -> Entries:
    try:
        entries: Entries = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    return entries


def _torch_file(path: Path, weights: FileWeights) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        with path.open("rb") as file:
            begins = file.read(2)
        if begins == b"PK" or begins[:1] == b"\x80":  # a zip archive or a pickle, as torch.save writes them
            raise BadWeights(_how_to_convert(path, str(error), bool(weights.sha256))) from error
        raise _damaged(path, "it does not begin as such files do") from error
    except MemoryError:
        raise
    except Exception as error:  # a cut file raises what it likes, by where it was cut
        raise _damaged(path, error) from error


def _how_to_convert(path: Path, said: str, is_hashed: bool) -> str:
    """Words for a file that holds more than tensors, which is never unpickled here: that would run its code.

    Args:
        path: of the file; the command that is offered writes beside it.
        said: by torch.
        is_hashed: whether the option has a ``sha256``, which the new file's is not.
    """
    found = re.search(r"GLOBAL (\S+)", said)
    target = path.with_name(path.name.removesuffix(".tar")).with_suffix(".safetensors").absolute()
    words = (
        f"import torch; from safetensors.torch import save_file; c = torch.load('{path.absolute()}', "
        "map_location='cpu', weights_only=False); "
        "c = c.get('model', c.get('state_dict', c)) if isinstance(c, dict) else c; "
        "c = c.state_dict() if isinstance(c, torch.nn.Module) else c; "
        f"save_file({{n: t.contiguous().clone() for n, t in c.items() if torch.is_tensor(t)}}, '{target}')"
    )
    return (
        f"{path} holds more than tensors{f' ({found[1]})' if found else ''}, and reading it would run code of whoever "
        f'made it; if you trust them, convert it once with `python -c "{words}"`, and name the new file, '
        f"{target.name}, in weights.file{', with its own weights.sha256 or none' if is_hashed else ''}."
    )


def _damaged(path: Path, cause: BaseException | str) -> BadWeights:
    if isinstance(cause, BaseException):
        cause = ": ".join([type(cause).__name__, *str(cause).splitlines()[:1]])[:120]
    return BadWeights(f"{path} is damaged, cut off, or no file of weights ({cause}); download it again.")


def _unwrapped(content: Any) -> Entries:
    for _ in range(2):  # BEiT's training wraps twice
        wrapper = next(
            (key for key in WRAPPERS if isinstance(content, dict) and isinstance(content.get(key), dict)), None
        )
        if wrapper is None:
            break
        content = content[wrapper]
    if not isinstance(content, dict):
        return {}
    return {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
