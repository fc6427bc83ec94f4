import json
import os
import subprocess
import sys
import time

from tmbench.engine.claims import STALE_SECONDS, Owner
from tmbench.engine.holdings import holdings, take

TRY = """
import sys, time
from pathlib import Path
from tmbench.engine.holdings import take
folder, start = Path(sys.argv[1]), float(sys.argv[2])
time.sleep(max(0.0, start - time.time()))
own, _ = take(folder, [f"unit{i}" for i in range(50)])
print(len(own.units), flush=True)
sys.stdin.read()
"""


def test_a_unit_is_claimed_once(tmp_path):
    first, others = take(tmp_path, ["a", "b"])
    assert (first.units, others) == ({"a", "b"}, [])
    second, others = take(tmp_path, ["b", "c"])
    assert second.units == {"c"}
    assert [other.claim.path for other in others] == [first.path]


def test_released_units_are_free(tmp_path):
    first, _ = take(tmp_path, ["a"])
    first.release()
    assert take(tmp_path, ["a"])[0].units == {"a"}


def test_a_torn_claim_holds_nothing(tmp_path):
    first, _ = take(tmp_path, ["a"])
    first.path.write_text('{"owner": {"ho')
    second, _ = take(tmp_path, ["a"])
    assert second.units == {"a"}
    assert second.path != first.path


def test_a_number_is_never_free_again(tmp_path):
    first, _ = take(tmp_path, ["a"])
    first.release()
    assert take(tmp_path, ["a"])[0].path.name > first.path.name


def test_many_at_once_share_without_overlap(tmp_path):
    start = str(time.time() + 1.0)
    arguments = [sys.executable, "-c", TRY, str(tmp_path), start]
    runs = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert sum(int(run.stdout.readline()) for run in runs) == 50
    assert sorted(unit for held in holdings(tmp_path) for unit in held.units) == sorted(f"unit{i}" for i in range(50))
    for run in runs:
        run.communicate("")
    assert not any(held.units for held in holdings(tmp_path))


def test_a_killed_owner_holds_nothing(tmp_path):
    arguments = [sys.executable, "-c", TRY, str(tmp_path), "0"]
    run = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline().strip() == "50"
    assert [len(held.units) for held in holdings(tmp_path)] == [50]
    run.kill()
    run.communicate()
    assert take(tmp_path, ["unit0"])[0].units == {"unit0"}


def test_a_later_process_with_the_same_number_is_not_the_owner():
    current = Owner.current()
    assert current.alive()
    assert not Owner(current.host, current.pid, "1").alive()


def test_a_claim_from_another_host_goes_stale(tmp_path):
    path = tmp_path / "000001.json"
    path.write_text(json.dumps({"owner": {"host": "elsewhere", "pid": 1, "started": ""}, "units": ["a"]}))
    assert take(tmp_path, ["a"])[0].units == set()
    old = time.time() - STALE_SECONDS - 1
    os.utime(path, (old, old))
    assert take(tmp_path, ["a"])[0].units == {"a"}
