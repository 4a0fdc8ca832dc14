"""One HTML file of a run, or of predictions, to send to a colleague.

It holds all that it shows, fetches nothing, and runs one script under a content security policy
that names it by its hash. All text from files is escaped.
"""

from temzoo.pages.report import write_report

__all__ = ["write_report"]
