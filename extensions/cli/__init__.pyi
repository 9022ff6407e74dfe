from .command import SUBCOMMANDS as SUBCOMMANDS
from .command import UsageError as UsageError
from .command import WorkbenchCLI as WorkbenchCLI
