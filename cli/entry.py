"""How both programs begin and end: one line for an error, an exit code that is a contract, nothing lost on the way.

Exit code 1 says that a part is defective and nothing else: neither Python nor typer may leave with it.
"""

from __future__ import annotations

import errno
import functools
import importlib
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from ..runtime.engines.onnxruntime_import import switch_telemetry_off
from ..runtime.errors import CmdiadError, MachineError, OutputError, UsageError
from ..runtime.plain_warnings import say_warnings_plainly
from . import console
from .extras import needs_of, require_extras
from .interruption import (
    Interruption,
    exit_code,
    hint_of,
    ignore_signals,
    leave_at_once,
    was_interrupted,
    watch_signals,
)
from .streams import claim_streams, libraries_on_stderr

# Not 1, which says that a part is defective (sysexits.h: an internal software error).
BUG = 70
# Codes of work that was done; what was printed of it must be whole.
_DONE = (0, 1, 3)
# The system's refusals that are nobody's bug, and what to do.
REFUSALS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space, or choose another place"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "give this user the right, or choose another place"),
    **dict.fromkeys((errno.EIO,), "look after the disk, or choose another place"),
}
_LIBRARY_WORDS = (
    (r"^Invalid value for '([^']*)': ", r"\1: "),
    ("Value error, ", ""),
    ("Input should be a valid integer.*", "give a whole number"),
    ("Input should be a valid number.*", "give a number"),
    ("Input should be", "should be"),
)
_SIBLINGS = {"cmdiad": ("cmdiad-rt", ".line"), "cmdiad-rt": ("cmdiad", ".workstation")}


class Commands(TyperGroup):
    """A group whose commands refuse NaN, infinity and missing packages, and keep standard output clean.

    Their usage lines name arguments as plain words.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, command in self.commands.items():
            runs = not isinstance(command, TyperGroup) or command.invoke_without_command
            if runs and command.callback is not None:
                full_name = f"{self.name} {name}" if self.name else name
                command.callback = _guarded(full_name, command)
                _show_plain_names(command)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer does; another program's command is named as that."""
        if args and args[0] not in self.commands and not self.name:
            _refuse_other_programs(str(ctx.info_name), args[0])
        return super().resolve_command(ctx, args)


def new_app(help: str, name: str | None = None, runs_alone: bool = False) -> typer.Typer:
    """An app, or with a name a group of commands inside one, that behaves as all of ours do.

    Args:
        help: what it is for.
        name: of a group; None: it is a program, which has --version.
        runs_alone: whether the group does something without a command, by its callback.
    """
    app = typer.Typer(
        name=name,
        cls=Commands,
        help=help,
        epilog="--debug, anywhere, shows the traceback of an error." if name is None else None,
        no_args_is_help=not runs_alone,
        invoke_without_command=runs_alone,
        subcommand_metavar="[COMMAND]" if runs_alone else "COMMAND [ARGS]...",
        add_completion=name is None,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    if name is None:
        app.callback()(_program)
    return app


def _program(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=console.print_version),
    ] = False,
) -> None:
    pass


def run(app: typer.Typer, name: str) -> NoReturn:
    """Run an app as a process: it ends with the code that its work deserves, whatever its streams do."""
    # NumPy's products here are many and small: on two cores its threads wait for each other longer than they work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    switch_telemetry_off()
    say_warnings_plainly()
    output = claim_streams()
    console.write_to(output)
    watch_signals()
    try:
        code = outcome(app, name, sys.argv[1:])
    except (KeyboardInterrupt, Interruption) as interruption:
        ignore_signals()
        console.complain(interruption.describe() if isinstance(interruption, Interruption) else "interrupted")
        # From here, where the interrupted frames are alive: threads still read their arrays.
        leave_at_once(exit_code())
    if output.failure is not None and code in _DONE:
        code = OutputError.exit_code
    if was_interrupted():
        ignore_signals()
        leave_at_once(code)
    sys.exit(code)


def outcome(app: typer.Typer, name: str, arguments: list[str]) -> int:
    """Run an app and give its exit code: an error becomes one line on standard error; --debug shows the traceback.

    What is neither a user's error nor the machine's is a bug: its traceback and exit code 70.

    Raises:
        Interruption: Ctrl-C or SIGTERM ended the command.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        returned = app(arguments, prog_name=name, standalone_mode=False)
        return returned if isinstance(returned, int) else 0
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0 if left.code is None else BUG
    except Exception as error:
        return _reported(error, debug)


def _reported(error: Exception, debug: bool) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error, file=sys.stderr)
        return UsageError.exit_code
    code, message = in_words(error)
    if code == BUG and was_interrupted():
        raise Interruption from error
    if debug or code == BUG:
        traceback.print_exc()
    console.complain(message)
    return code


def in_words(error: Exception) -> tuple[int, str]:
    """The exit code and the one line for an error."""
    if isinstance(error, CmdiadError):
        return error.exit_code, str(error)
    if hasattr(error, "format_message"):  # typer's own, whose classes have moved between its versions
        return UsageError.exit_code, _usage(error)
    if isinstance(error, OSError) and error.errno in REFUSALS:
        where = "" if error.filename is None else f"{error.filename}: "
        return OutputError.exit_code, f"{where}{error.strerror}: {REFUSALS[error.errno]}"
    if isinstance(error, MemoryError):
        return MachineError.exit_code, f"this machine has too little memory: {error}"
    return BUG, f"this is a bug in the program ({type(error).__name__}): report it with the lines above"


def _usage(error: Any) -> str:
    """What is wrong with the command line, without the words of the libraries that found it."""
    text = error.format_message().rstrip(".")
    for words, ours in _LIBRARY_WORDS:
        text = re.sub(words, ours, text)
    context = getattr(error, "ctx", None)
    return text if context is None else f"{text}: see `{context.command_path} --help`"


def _refuse_other_programs(program: str, command: str) -> None:
    if program not in _SIBLINGS:
        return
    other, module = _SIBLINGS[program]
    group = typer.main.get_command(importlib.import_module(module, __package__).app)
    assert isinstance(group, TyperGroup)
    if command in group.commands:
        raise UsageError(f"{program} has no command {command!r}: use `{other} {command}`")


def _guarded(name: str, command: Any) -> Callable[..., Any]:
    """A command's callback behind the checks that all commands share."""
    callback = command.callback

    @functools.wraps(callback)
    def call(*args: Any, **values: Any) -> Any:
        refuse_non_finite(command.params, values)
        require_extras(name, needs_of(callback, values))
        try:
            with libraries_on_stderr():
                return callback(*args, **values)
        except (KeyboardInterrupt, Interruption) as cause:
            raise Interruption(hint_of(callback)) from cause

    return call


def _show_plain_names(command: Any) -> None:
    """Newer typers put what must be given into braces, as if it were one of several: {SCAN}... for SCAN... ."""
    pieces = command.collect_usage_pieces
    command.collect_usage_pieces = lambda context: [re.sub(r"^\{(.*)\}", r"\1", piece) for piece in pieces(context)]


def refuse_non_finite(parameters: Any, values: Mapping[str, Any]) -> None:
    """Refuse NaN and infinity: comparisons with NaN are always false, and a limit of infinity is not a limit.

    Raises:
        UsageError: an option's value is NaN or infinite.
    """
    for parameter in parameters:
        value = values.get(parameter.name)
        numbers = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise UsageError(f"{parameter.opts[0]} {value}: give a finite number")
