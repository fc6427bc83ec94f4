"""Failures: which class an error belongs to, and which classes a plain `run` tries again."""

CLASSES: dict[str, str] = {
    "out_of_memory": "the unit needed more memory than the worker had",
    "cuda": "the graphics processor or its driver failed",
    "timeout": "the unit took longer than its job was given",
    "node_failure": "the node went down while it did this unit",
    "nan": "a loss or a score was not finite",
    "missing_data": "a file or folder of the target or the source is not there",
    "bad_input": "the data or the options cannot be used as they are",
    "corrupt_artifact": "a file of the store was damaged; it is made again",
    "killed": "the worker died while it did this unit",
    "bug": "an error that tmbench or a user's code did not expect",
}

RETRIED = frozenset({"corrupt_artifact", "killed", "node_failure"})
"""Failures that lie with the machine, not with the unit: a plain `run` tries them again."""

MAX_ATTEMPTS = 3
"""A unit that failed so often for the machine's sake is left to `retry=`."""


OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")
"""How CUDA, torch's CPU allocator and the system say it."""

CUDA = ("cuda error", "cudnn error", "cublas error", "nccl error", "cuda driver", "no cuda gpus")
"""How torch says that the processor, and not the program, is at fault."""

SHORT = {"oom": "out_of_memory"}
"""Names that people type for a class."""


def classify(error: BaseException) -> str:
    """The class of ``error``: what it says of itself (``failure``), else by type and text."""
    own = getattr(error, "failure", None)
    if own in CLASSES:
        return str(own)
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(sign in text for sign in OUT_OF_MEMORY):
        return "out_of_memory"
    if any(sign in text for sign in CUDA):
        return "cuda"
    return "missing_data" if isinstance(error, FileNotFoundError) else "bug"
