"""Why a process could not start: what JAX, XLA and Python say, as an error with what to do.

They refuse a wrong environment variable by an exception, or by ending the process, each in its own
words. No JAX here: those who ask have none.
"""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping

from jmlp.errors import ConfigError, DeviceError, JmlpError, StoreError, error_with_code

# What a worker writes before an error that it reports; further lines are indented.
ERROR = "error: "
_REPORTED = re.compile(r"^(?:jmlp: )?error: (.*(?:\n  .*)*)", re.MULTILINE)

# What a machine may run out of in the middle of anything; a bug is none of them.
_SHORTAGES = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
)

LONGEST = 400  # characters of a line that is quoted

# What JAX and XLA read and a user may have set.
_READ_BY_JAX = re.compile(r"(JAX|XLA|PJRT|CUDA|LIBTPU|TPU|ROCM|HIP)_\w+")
# Of these, what can keep a device from being found; images set CUDA_VERSION and the like.
_CHOOSES_DEVICES = re.compile(r"(JAX|XLA|PJRT)_\w+|\w+_VISIBLE_DEVICES")

# What jmlp itself changed in the environment of this process: the value before, and after.
_changed: dict[str, tuple[str | None, str | None]] = {}

# A line of a log by abseil: level, date, time, thread, place, text.
_ABSEIL = re.compile(r"([IWEF])\d{4} [\d:.]+\s+\d+ \S+?:\d+\] (.*)")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Warning)(: .*)?")


def note_changes(before: Mapping[str, str]) -> None:
    """Tells what jmlp has set in the environment of this process from what the user has.

    Args:
        before: the environment, as it was until now.
    """
    for name in {*before, *os.environ}:
        values = before.get(name), os.environ.get(name)
        if values[0] != values[1]:
            _changed[name] = values


def _as_given(variables: Mapping[str, str] | None) -> Mapping[str, str]:
    """Variables; by default those of this process, without what jmlp has set."""
    if variables is not None:
        return variables
    given = dict(os.environ)
    for name, (before, after) in _changed.items():
        if given.get(name) == after:
            given.pop(name, None)
            if before is not None:
                given[name] = before
    return given


def complaint(words: str, variables: Mapping[str, str] | None = None) -> JmlpError | None:
    """The error that the words mean; None where they are about nothing in the environment.

    Args:
        words: an exception as text, or what a process printed.
        variables: its environment; default: that of this process, as the user has set it.
    """
    given = _as_given(variables)
    for pattern, explain in _KNOWN:
        if found := pattern.search(words):
            return explain(found, given)
    return None


def of_exception(error: BaseException) -> JmlpError | None:
    """The error that an exception means; None where neither machine nor environment explains it."""
    if isinstance(error, OSError) and error.errno in _SHORTAGES:
        where = f"{error.filename}: " if error.filename else ""
        return StoreError(f"{where}the system refused it: {error.strerror}")
    if isinstance(error, Warning):
        text = str(error).partition("\n")[0]
        return ConfigError(
            f"PYTHONWARNINGS, or -W, makes this warning an error: {text}; remove that setting"
        )
    if known := _hidden_module(error):
        return known
    return complaint(f"{type(error).__name__}: {error}")


def _hidden_module(error: BaseException) -> ConfigError | None:
    """The error of an import that found a file of the user in place of a module that is needed."""
    from importlib.machinery import PathFinder

    is_of_module = isinstance(error, AttributeError) and isinstance(error.obj, type(sys))
    if not (is_of_module or isinstance(error, ImportError)):
        return None
    given = os.environ.get("PYTHONPATH", "")
    theirs = {os.path.realpath(entry) for entry in (*given.split(os.pathsep), "")}
    folders = [entry for entry in sys.path if os.path.realpath(entry) in theirs]
    others = [entry for entry in sys.path if entry not in folders]
    names = {name for name in sys.modules if "." not in name}
    if isinstance(error, ImportError) and error.name:
        names.add(error.name.partition(".")[0])
    found = []
    for name in names - {"jmlp", "tui", *sys.builtin_module_names}:
        spec = PathFinder.find_spec(name, folders)
        if spec is None or spec.origin is None or PathFinder.find_spec(name, others) is None:
            continue
        if name not in sys.modules or getattr(sys.modules[name], "__file__", "") == spec.origin:
            found.append(spec.origin)
    if not found:
        return None
    where = f"PYTHONPATH={given}" if given else "the current folder"
    remedy = "take its folder out of PYTHONPATH" if given else "start jmlp in another folder"
    return ConfigError(
        f"{where}: Python imports {', '.join(sorted(found))} in place of the module of that name "
        f"that jmlp needs ({type(error).__name__}: {error}); rename it, or {remedy}"
    )


def end(
    what: str, code: int, printed: str, variables: Mapping[str, str] | None = None
) -> JmlpError:
    """Why a process ended without saying so.

    Args:
        what: the process, as the subject of a sentence.
        code: its exit code, or less than 0: a signal.
        printed: what it printed.
        variables: its environment; default: that of this process, as the user has set it.
    """
    if reported := _reported(printed):
        return error_with_code(reported, code)
    if known := complaint(printed, variables):
        return known
    text = f"{what} {how_it_ended(code)}: {last_words(printed) or 'it printed nothing'}"
    if code and (settings := _settings(_as_given(variables), _READ_BY_JAX)):
        text += f"\nwhat JAX reads is set: {settings}"
    return error_with_code(text, code if code > 0 else DeviceError.exit_code)


def how_it_ended(code: int) -> str:
    """`ended with code 3`, or `was ended by signal 9 (SIGKILL)` for -9."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        name = f" ({signal.Signals(-code).name})"
    except ValueError:  # a real-time signal
        name = ""
    return f"was ended by signal {-code}{name}"


def last_words(printed: str) -> str:
    """The line that says most about the end: of XLA's the fatal one, of an exception its text."""
    lines = [line.rstrip() for line in printed.splitlines() if line.strip()]
    fatal = [found[2] for line in lines if (found := _ABSEIL.match(line)) and found[1] == "F"]
    named = [line for line in lines if _EXCEPTION.fullmatch(line)]
    # Before a stack trace of C++, which has none of the reason.
    plain = [line.strip() for line in lines if not line.lstrip().startswith(("@ 0x", "*** "))]
    words = next((found[-1] for found in (fatal, named, plain) if found), "")[:LONGEST]
    return "".join(c if c.isprintable() else " " for c in words)


def _reported(printed: str) -> str:
    """The last error that the process itself reported, in its words."""
    found = _REPORTED.findall(printed)
    return "\n".join(line.strip() for line in found[-1].splitlines()) if found else ""


def _settings(variables: Mapping[str, str], names: re.Pattern[str]) -> str:
    """What is set of the variables with such names."""
    found = [f"{name}={value}" for name, value in variables.items() if names.fullmatch(name)]
    return " ".join(sorted(found))[:LONGEST]


# ---- what is known

Explain = Callable[[re.Match[str], Mapping[str, str]], JmlpError]


def _unknown_flags(found: re.Match[str], variables: Mapping[str, str]) -> JmlpError:
    variable, flags = found[1], found[2].strip()[:LONGEST]
    return ConfigError(
        f"{variable}: this version of XLA does not know {flags}; remove it from the variable"
    )


def _value_of_flag(found: re.Match[str], variables: Mapping[str, str]) -> JmlpError:
    return ConfigError(
        f"XLA_FLAGS: --{found[2]}={found[1]}: XLA does not accept this value; correct it"
    )


def _value(found: re.Match[str], variables: Mapping[str, str]) -> JmlpError:
    variable, value = found["name"].upper(), found["value"]
    return ConfigError(f"{variable}: JAX does not accept {value!r}; correct it or unset it")


def _default_device(found: re.Match[str], variables: Mapping[str, str]) -> JmlpError:
    return ConfigError(f"JAX_DEFAULT_DEVICE: {found[1]}; correct it or unset it")


def _no_device(found: re.Match[str], variables: Mapping[str, str]) -> JmlpError:
    return no_device("auto", found[1], variables)


def _not_installed(found: re.Match[str], variables: Mapping[str, str]) -> JmlpError:
    return DeviceError(f"JAX cannot be loaded: {found[0]}; install it again (pip install jax)")


def no_device(device: str, reason: str, variables: Mapping[str, str] | None = None) -> DeviceError:
    """A device that was asked for is not there: who asked, why it fails, what to do.

    Args:
        device: what the command was asked for: `auto`, `cpu` or `gpu`.
        reason: what JAX says.
        variables: the environment that JAX was started with; default: that of this process, as the
            user has set it.
    """
    given = _as_given(variables)
    named = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_DEFAULT_DEVICE")
    asked = [f"{name}={given[name]}" for name in named if given.get(name)]
    if device == "auto" and asked:
        return DeviceError(
            f"{' '.join(asked)}: JAX finds no such device ({reason[:LONGEST]}); unset it, or see "
            "what `jmlp doctor` says"
        )
    remedies = []
    if asked and device != "cpu":  # --device cpu overrides them
        remedies.append(f"unset {' '.join(asked)}")
    others = {name: value for name, value in given.items() if name not in named}
    if settings := _settings(others, _CHOOSES_DEVICES):
        remedies.append(f"check {settings}")
    if device != "cpu":
        remedies.append("use --device cpu")
    remedy = f"{', '.join(remedies)}, or " if remedies else ""
    return DeviceError(
        f"--device {device}: JAX finds no such device ({reason[:LONGEST]}); {remedy}"
        "see what `jmlp doctor` says"
    )


_KNOWN: tuple[tuple[re.Pattern[str], Explain], ...] = (
    (re.compile(r"Unknown flags? in (\w+): (.*)"), _unknown_flags),
    (re.compile(r"Couldn't interpret value (.*) for flag (\w+)"), _value_of_flag),
    (re.compile(r'Invalid value "(?P<value>.*)" for JAX flag (?P<name>\w+)'), _value),
    (
        re.compile(r"invalid truth value '(?P<value>.*)' for environment '(?P<name>\w+)'"),
        _value,
    ),
    (re.compile(r"jax\.default_device must be (passed .*)"), _default_device),
    (re.compile(r"(Unable to initialize backend '.*)"), _no_device),
    (re.compile(r"(Unknown backend:? '.*)"), _no_device),
    (re.compile(r"_default_backend is not None\n[\s^]*(AssertionError)"), _no_device),
    (
        re.compile(r"ModuleNotFoundError: No module named 'jax(lib)?\b.*|ImportError: .*jax.*"),
        _not_installed,
    ),
)
