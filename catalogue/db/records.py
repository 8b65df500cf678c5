"""The one door to the hub database for jobs and pages: every function takes an engine and is one transaction."""

from catalogue.db.builds import build_losses, filter_books
from catalogue.db.decisions import list_decisions, record_decision
from catalogue.db.deliveries import (
    announce,
    delivery_of_run,
    delivery_state,
    get_delivery,
    list_deliveries,
    record_event,
    refuse_books,
    set_books,
)
from catalogue.db.engine import migrate, open_engine
from catalogue.db.figures import described_release, list_figures, set_figures
from catalogue.db.holdings import (
    files_of_other_periods,
    latest_published,
    published_deliveries,
    same_content,
    source_versions,
)
from catalogue.db.keys import key_check, list_keys, register_key
from catalogue.db.published import (
    Release,
    add_release,
    build_deliveries,
    build_detail,
    current_release,
    get_release,
    list_releases,
    pending_deliveries,
    pending_withdrawals,
    set_build_detail,
    start_build,
)
from catalogue.db.quality import (
    add_quality_run,
    get_counts,
    get_quality_run,
    last_quality_run,
    list_quality,
    list_quality_runs,
    quality_run_of,
    set_counts,
)

__all__ = [
    "Release",
    "add_quality_run",
    "add_release",
    "announce",
    "build_deliveries",
    "build_detail",
    "build_losses",
    "current_release",
    "delivery_of_run",
    "delivery_state",
    "described_release",
    "files_of_other_periods",
    "filter_books",
    "get_counts",
    "get_delivery",
    "get_quality_run",
    "get_release",
    "key_check",
    "last_quality_run",
    "latest_published",
    "list_decisions",
    "list_deliveries",
    "list_figures",
    "list_keys",
    "list_quality",
    "list_quality_runs",
    "list_releases",
    "migrate",
    "open_engine",
    "pending_deliveries",
    "pending_withdrawals",
    "published_deliveries",
    "quality_run_of",
    "record_decision",
    "record_event",
    "refuse_books",
    "register_key",
    "same_content",
    "set_books",
    "set_build_detail",
    "set_counts",
    "set_figures",
    "source_versions",
    "start_build",
]
