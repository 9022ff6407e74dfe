"""anomalib's command line with our plug-ins known, the seed honored and errors in one sentence."""

from extensions.cli.command import SUBCOMMANDS, UsageError, WorkbenchCLI

__all__ = ["SUBCOMMANDS", "UsageError", "WorkbenchCLI"]
