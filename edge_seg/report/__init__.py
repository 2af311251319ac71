"""The report of a pack: from a record to one self-contained HTML page.

from edge_seg.report.page import write_report
from edge_seg.report.record import ReportData
"""
