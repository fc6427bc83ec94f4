"""Rows of attempts, for the tests of merging and compaction."""

from tmbench.engine.records import row

TIMES = [f"2026-01-0{day}T00:00:00.000000+00:00" for day in range(1, 6)]


def attempt(id, run, finished, values, failure=""):
    """The rows of one attempt: one a measure, or one for a failure."""
    common = {"id": id, "unit": id, "stage": "truth", "name": id, "run": run, "finished": finished, "key": f'"{id}"'}
    if failure:
        return [row(**common, status="failed", failure=failure, message=f"{failure} {run}", seconds=1.0)]
    return [row(**common, status="done", measure=m, value=v, details={"run": run}) for m, v in values.items()]
