from .arguments import UsageError as UsageError
from .command import SUBCOMMANDS as SUBCOMMANDS
from .command import WorkbenchCLI as WorkbenchCLI
