"""Whether a SLURM site takes what a profile asks for, by asking the site; nothing is submitted."""

import getpass
import re
import tempfile
from pathlib import Path

from tmbench.engine.checkup import Finding
from tmbench.engine.options import Cluster, Slurm
from tmbench.engine.slurm.parameters import parameters, text
from tmbench.engine.slurm.patience import CommandFailed, SlurmUnavailable, ask, refusal, words
from tmbench.engine.slurm.site import max_array_size, max_submitted, seconds, settings
from tmbench.sources.resources import Resources

COMMANDS = ("sbatch", "squeue", "scontrol", "scancel", "srun")
TEST_MINUTES = 10.0
"""The time limit of the test job."""


def site(cluster: Cluster) -> list[Finding]:
    """Commands, controller, limits, partition, account and the request itself; stops at what all else stands on."""
    found = commands()
    if any(finding.good is False for finding in found):
        return found
    found.append(controller())
    if found[-1].good is False:
        return found
    known = settings()
    slurm = cluster.slurm
    return [
        *found,
        *limits(slurm, known),
        *partitions(slurm),
        interruptions(known),
        *associations(slurm),
        request(cluster),
    ]


def commands() -> list[Finding]:
    """Which of SLURM's commands are here."""
    missing = [name for name in COMMANDS if _said(name, "--version") is None]
    if missing:
        advice = "Run on a login node of the cluster, or choose cluster=local."
        return [Finding("SLURM", False, f"no {', '.join(missing)} on the PATH", advice)]
    version = (_said("sbatch", "--version") or "").strip().removeprefix("slurm-wlm ").removeprefix("slurm ")
    accounts = _said("sacct", "--noheader", "--jobs=1") is not None
    return [
        Finding("SLURM", True, f"version {version}"),
        Finding("accounting", True, "sacct answers")
        if accounts
        else Finding(
            "accounting", None, "sacct does not answer: how a job ended is known only from what it left behind"
        ),
    ]


def controller() -> Finding:
    """Whether a controller answers."""
    said = _said("scontrol", "ping") or ""
    up = [line.strip() for line in said.splitlines() if line.strip().endswith("is UP")]
    if up:
        return Finding("controller", True, "; ".join(up))
    return Finding("controller", False, "no controller answers", "Wait and try again, or ask the site's support.")


def limits(slurm: Slurm, known: dict[str, str]) -> list[Finding]:
    """How many elements an array may have, and how many jobs a user."""
    longest = max_array_size(known)
    used = slurm.max_array or longest
    jobs = known.get("MaxJobCount", "?")
    text = f"at most {longest:,} elements each; {jobs} jobs of all users"
    if used > longest:
        arrays = Finding("arrays", False, text, f"Set cluster.slurm.max_array={longest}, or 0 to ask the site.")
    else:
        arrays = Finding("arrays", True, text)
    submitted = max_submitted(getpass.getuser())
    if submitted is None:
        return [arrays, Finding("your jobs", None, "no limit is known")]
    text = f"at most {submitted:,} in the queue, elements of arrays counted"
    if submitted < used:
        return [arrays, Finding("your jobs", False, text, f"Set cluster.slurm.max_array={submitted} or less.")]
    return [arrays, Finding("your jobs", True, text)]


def partitions(slurm: Slurm) -> list[Finding]:
    """Whether each partition of the profile, or the default one, exists, is up and allows the time limit."""
    said = _said("scontrol", "--oneliner", "show", "partition") or ""
    known = {}
    for line in said.splitlines():
        facts = dict(re.findall(r"(\w+)=(\S*)", line))
        known[facts.get("PartitionName", "")] = facts
    default = next((name for name, facts in known.items() if facts.get("Default") == "YES"), "")
    names = [name for name in (slurm.partition or default).split(",") if name]
    if not names:
        advice = f"Set cluster.slurm.partition to one of: {', '.join(sorted(known))}."
        return [Finding("partition", False, "the site has no default", advice)]
    return [_partition(name, known, slurm) for name in names]


def _partition(name: str, known: dict[str, dict[str, str]], slurm: Slurm) -> Finding:
    if name not in known:
        advice = f"Set cluster.slurm.partition to one of: {', '.join(sorted(known))}."
        return Finding("partition", False, f"there is no '{name}'", advice)
    facts = known[name]
    text = f"{name}, {facts.get('State')}, {facts.get('TotalNodes')} nodes, time limit {facts.get('MaxTime')}"
    if facts.get("State") != "UP":
        return Finding("partition", False, text, "Wait until it is up, or name another: cluster.slurm.partition=NAME.")
    minutes = seconds(facts.get("MaxTime", "")) / 60  # 0 of UNLIMITED
    if minutes and minutes < slurm.max_minutes:
        return Finding("partition", False, text, f"Set cluster.slurm.max_minutes={minutes:.0f}.")
    return Finding("partition", True, text)


def interruptions(known: dict[str, str]) -> Finding:
    """What becomes of a job that must make room."""
    mode = known.get("PreemptMode", "OFF")
    wait = known.get("KillWait", "an unknown time")
    if "REQUEUE" not in mode and "CANCEL" not in mode:
        return Finding("preemption", True, f"none by default (PreemptMode={mode})")
    warned = "preempt_send_user_signal" in known.get("SlurmctldParameters", "")
    told = "the same warning as before its time limit, and" if warned else "SIGTERM, no other warning, and"
    after = "goes back into the queue" if "REQUEUE" in mode else "is over; the next `run` submits its rest"
    return Finding("preemption", True, f"a preempted job gets {told} {wait} to save its state; then it {after}")


def associations(slurm: Slurm) -> list[Finding]:
    """Whether the account and the QOS of the profile are among the user's."""
    wanted = ("sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={getpass.getuser()}")
    said = _said(*wanted, "format=account,qos")
    rows = [line.split("|") for line in (said or "").splitlines() if "|" in line]
    if not rows:
        return [Finding("account", None, "the site does not tell which are yours")]
    return [
        _among("account", slurm.account, {row[0] for row in rows}),
        _among("qos", slurm.qos, {name for row in rows for name in row[1].split(",") if name}),
    ]


def _among(key: str, name: str, known: set[str]) -> Finding:
    listed = ", ".join(sorted(known)) or "none"
    if name and name not in known:
        return Finding(key, False, f"'{name}' is not yours", f"Set cluster.slurm.{key} to one of: {listed}.")
    return Finding(key, True, name or f"your default (yours: {listed})")


def request(cluster: Cluster) -> Finding:
    """Whether the site could ever start what the profile asks for; sbatch tells without submitting."""
    resources = wanted(cluster)
    asked = parameters(cluster.slurm, resources, TEST_MINUTES, "tmbench-doctor", [])
    told = f"{resources.gpus} GPUs, {resources.cpus} CPUs, {resources.memory_gb:g} GB"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.sh"
        script.write_text(text(Path(folder), cluster.slurm, asked, 1))
        try:
            ask("sbatch", "--test-only", str(script))
        except CommandFailed as error:
            return Finding("request", False, f"{told}: {words(error)}", _advice(error))
        except SlurmUnavailable as error:
            return Finding("request", None, f"{told}: {error}")
    return Finding("request", True, f"sbatch would take a job of {told}")


def wanted(cluster: Cluster) -> Resources:
    """What the test job asks for: the profile's own needs over the smallest ones."""
    return cluster.needs.over(Resources())


def _advice(error: CommandFailed) -> str:
    """The last sentence of what a refused submission would say."""
    return str(refusal(words(error))).rpartition(words(error))[2].strip(" .)") + "."


def _said(*command: str) -> str | None:
    """What a command prints; None when it fails."""
    try:
        return ask(*command, seconds=5)
    except (CommandFailed, SlurmUnavailable):
        return None
