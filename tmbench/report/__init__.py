"""The report: tables, figures, one page and the short table of the terminal."""

from tmbench.report.tables import Scene, build_tables
from tmbench.report.terminal import print_summary
from tmbench.report.write import write_report

__all__ = ["Scene", "build_tables", "print_summary", "write_report"]
