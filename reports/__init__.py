"""One context object, rendered as HTML, PDF and JSON."""

from reports.context import ReportContext
from reports.settings import ReportSettings
from reports.sources import ReportSources

__all__ = ["ReportContext", "ReportSettings", "ReportSources"]
