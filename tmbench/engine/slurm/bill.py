"""The bill: what a submission would put into the queue, and what that may cost."""

from collections.abc import Iterable, Sequence

from tmbench.engine.options import Needs
from tmbench.engine.records import Records
from tmbench.engine.slurm.arrays import Array


def bill(made: Sequence[Array]) -> str:
    """Units, chunks, arrays and hours of ``made`` as a table, a row an array, and their sum."""
    lines = [f"{'array':<26}{'wave':<11}{'units':>8}{'chunks':>8}{'at once':>9}  each"]
    for array in made:
        needs = array.resources
        each = f"{needs.cpus} cpu, {needs.memory_gb:g} GB, {array.minutes:g} min"
        each = f"{needs.gpus} gpu, {each}" if needs.gpus else each
        name = array.name.removeprefix("tmbench-")
        units = sum(map(len, array.shares))
        lines.append(f"{name:<26}{array.wave:<11}{units:>8,}{len(array.shares):>8,}{array.concurrent:>9,}  {each}")
    units, chunks = sum(len(share) for array in made for share in array.shares), sum(len(a.shares) for a in made)
    return "\n".join([*lines, f"{units:,} units in {chunks:,} chunks and {len(made)} arrays: about {hours(made)}"])


def unheeded(made: Sequence[Array], records: Records, needs: Needs) -> list[str]:
    """What a profile keeps from growing that units failed for want of: a line for memory, and one for time."""
    units = [unit.id for array in made for share in array.shares for unit in share]
    lines = []
    for key, failure, what, value in (
        ("memory_gb", "out_of_memory", "ran out of memory and get no more of it", needs.memory_gb),
        ("minutes", "timeout", "ran out of time and get no more of it", needs.minutes),
    ):
        short = sum(records.failed_of(id, failure) > 0 for id in units) if value is not None else 0
        if short:
            lines.append(
                f"note: {short:,} units {what}: cluster.needs.{key}={value:g} stands as it is. Raise it, or leave it "
                "out and they ask for twice as much"
            )
    return lines


def hours(made: Iterable[Array]) -> str:
    """The estimated GPU-hours, or core-hours where no processor is asked for, and the most that can be spent."""
    made = list(made)
    if any(array.resources.gpus for array in made):
        kind, weights = "GPU", [float(array.resources.gpus) for array in made]
    else:
        kind, weights = "core", [float(array.resources.cpus) for array in made]
    likely = sum(weight * array.work for weight, array in zip(weights, made, strict=True)) / 60
    most = sum(weight * array.minutes * len(array.shares) for weight, array in zip(weights, made, strict=True)) / 60
    return f"{likely:.1f} {kind}-hours, {most:.0f} at most before jobs are requeued"
