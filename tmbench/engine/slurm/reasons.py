"""Why jobs wait, in words for people who do not know SLURM's."""

import re

MEND = "`tmbench cancel`, then mend"
REASONS = (
    (r"None$", "for the scheduler to look at them"),
    (r"Priority$", "for jobs of higher priority"),
    (r"Resources$", "for a node with enough room"),
    (r"DependencyNeverSatisfied", "for ever, for a job that ended otherwise than they want: end them with scancel"),
    (r"Dependency", "for the jobs that make what they need"),
    (r"JobArrayTaskLimit", "for their turn: the array runs only so many at a time (cluster.slurm.max_concurrent)"),
    (r"BeginTime", "for their begin time; after a requeue that is some minutes"),
    (r"Prolog|Cleaning", "for a node to be made ready"),
    (r"JobHeldUser", "because you hold them: scontrol release JOB"),
    (r"JobHeldAdmin", "because the site's administrators hold them: ask them"),
    (r"JobHoldMaxRequeue|launch_failed_requeued_held", "because they failed to start: look at their log, scancel them"),
    (r"ReqNodeNotAvail|NodeDown|Nodes_required", "for nodes that are down, drained or reserved"),
    (r"Reservation|ReqNodeReserved", "for a reservation"),
    (
        r"PartitionTimeLimit|TimeLimit",
        f"for ever: their time limit is above the partition's; {MEND} cluster.slurm.max_minutes and run again",
    ),
    (r"PartitionDown|PartitionInactive", "for the partition, which is closed"),
    (
        r"PartitionNodeLimit|PartitionConfig",
        f"for ever: the partition has no node for such jobs; {MEND} cluster.slurm.partition or cluster.needs (gpus, "
        "cpus, memory_gb) and run again",
    ),
    (
        r"BadConstraints",
        f"for ever: no node is like that; {MEND} cluster.slurm.constraint or cluster.needs and run again",
    ),
    (r"Licenses", "for a licence"),
    (r"(Assoc|QOS).*(Minutes|RunMin)", "for the budget of your account or QOS, which is used up"),
    (
        r"(Assoc|QOS).*(Wall|Time)",
        f"for ever: their time limit is above your account's or QOS's; {MEND} cluster.slurm.max_minutes and run again",
    ),
    (r"(Assoc|QOS|Max).*Job", "for other jobs to end: the site limits how many may run at a time"),
    (r"(Assoc|QOS)", "for other jobs to end: the site limits how much you may use at a time"),
    (r"Invalid(Account|QOS)", f"for ever: the account or QOS is not yours; {MEND} cluster.slurm and run again"),
)
"""SLURM's word, as the beginning that it is found by → what they wait for; the first that fits."""


def in_words(reason: str) -> str:
    """What a job waits for; SLURM's own word where it is not a common one."""
    for pattern, words in REASONS:
        if re.match(pattern, reason):
            return words
    return f"({reason.strip('()')}; `man squeue` lists the reasons)"
