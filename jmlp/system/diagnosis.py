"""Explains why a process failed: turns messages of JAX, XLA and Python into errors with a remedy.

Each rejects a wrong environment variable in its own words, by an exception or by ending the
process. This module does not import JAX, because its callers have not.
"""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping

from jmlp.errors import ConfigError, DeviceError, JmlpError, StoreError, error_with_code
from jmlp.system.installation import CUDA, command_that_installs, lacks_cuda

# The prefix of an error that a worker reports; its further lines are indented.
ERROR = "error: "
_REPORTED = re.compile(r"^(?:jmlp: )?error: (.*(?:\n  .*)*)", re.MULTILINE)

# Shortages of the machine, which may occur anywhere and are not bugs.
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

MAX_LENGTH = 400  # characters of a quoted line

# Variables that JAX and XLA read and that a user may have set.
_READ_BY_JAX = re.compile(r"(JAX|XLA|PJRT|CUDA|LIBTPU|TPU|ROCM|HIP)_\w+")
# Those that can keep a device from being found; container images set CUDA_VERSION and the like.
_CHOOSES_DEVICES = re.compile(r"(JAX|XLA|PJRT)_\w+|\w+_VISIBLE_DEVICES")

# What jmlp itself changed in the environment of this process: the values before and after.
_changed: dict[str, tuple[str | None, str | None]] = {}

# A line of an abseil log: level, date, time, thread, location, text.
_ABSEIL = re.compile(r"([IWEF])\d{4} [\d:.]+\s+\d+ \S+?:\d+\] (.*)")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Warning)(: .*)?")


def note_changes(before: Mapping[str, str]) -> None:
    """Records what jmlp has changed in the environment of this process.

    Args:
        before: a copy of the environment before the changes.
    """
    for name in {*before, *os.environ}:
        values = before.get(name), os.environ.get(name)
        if values[0] != values[1]:
            _changed[name] = values


def _as_given(variables: Mapping[str, str] | None) -> Mapping[str, str]:
    """The given variables; by default those of this process, without the changes of jmlp."""
    if variables is not None:
        return variables
    given = dict(os.environ)
    for name, (before, after) in _changed.items():
        if given.get(name) == after:
            given.pop(name, None)
            if before is not None:
                given[name] = before
    return given


def known_error(text: str, variables: Mapping[str, str] | None = None) -> JmlpError | None:
    """Explains a message about the environment; None if the message is not a known one.

    Args:
        text: an exception as text, or what a process printed.
        variables: its environment; by default that of this process, as the user has set it.
    """
    given = _as_given(variables)
    for pattern, explain in _KNOWN:
        if found := pattern.search(text):
            return explain(found, given)
    return None


def of_exception(error: BaseException) -> JmlpError | None:
    """Explains an exception; None if neither the machine nor the environment is the cause."""
    if isinstance(error, OSError) and error.errno in _SHORTAGES:
        where = f"{error.filename}: " if error.filename else ""
        return StoreError(f"{where}the system refused the operation: {error.strerror}")
    if isinstance(error, Warning):
        text = str(error).partition("\n")[0]
        return ConfigError(
            f"PYTHONWARNINGS, or -W, turns this warning into an error: {text}; remove that setting"
        )
    if known := _hidden_module(error):
        return known
    return known_error(f"{type(error).__name__}: {error}")


def _hidden_module(error: BaseException) -> ConfigError | None:
    """The error if an import found a file of the user instead of the module of that name."""
    from importlib.machinery import PathFinder

    is_of_module = isinstance(error, AttributeError) and isinstance(error.obj, type(sys))
    if not (is_of_module or isinstance(error, ImportError)):
        return None
    given = os.environ.get("PYTHONPATH", "")
    user_entries = {os.path.realpath(entry) for entry in (*given.split(os.pathsep), "")}
    folders = [entry for entry in sys.path if os.path.realpath(entry) in user_entries]
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
    """Why a process ended unexpectedly.

    Args:
        what: the process, as the subject of a sentence.
        code: its exit code, or a negative signal number.
        printed: what it printed.
        variables: its environment; by default that of this process, as the user has set it.
    """
    if reported := _reported(printed):
        return error_with_code(reported, code)
    if known := known_error(printed, variables):
        return known
    text = f"{what} {how_it_ended(code)}: {last_message(printed) or 'it printed nothing'}"
    if code and (settings := _settings(_as_given(variables), _READ_BY_JAX)):
        text += f"\nvariables that JAX reads are set: {settings}"
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


def last_message(printed: str) -> str:
    """The most informative line of a process's output: XLA's fatal message, or an exception."""
    lines = [line.rstrip() for line in printed.splitlines() if line.strip()]
    fatal = [found[2] for line in lines if (found := _ABSEIL.match(line)) and found[1] == "F"]
    named = [line for line in lines if _EXCEPTION.fullmatch(line)]
    # Excludes a C++ stack trace, which does not contain the reason.
    plain = [line.strip() for line in lines if not line.lstrip().startswith(("@ 0x", "*** "))]
    text = next((found[-1] for found in (fatal, named, plain) if found), "")[:MAX_LENGTH]
    return "".join(c if c.isprintable() else " " for c in text)


def _reported(printed: str) -> str:
    """The last error that the process itself reported, or an empty text."""
    found = _REPORTED.findall(printed)
    return "\n".join(line.strip() for line in found[-1].splitlines()) if found else ""


def _settings(variables: Mapping[str, str], names: re.Pattern[str]) -> str:
    """The variables that are set and whose names match, as `name=value`."""
    found = [f"{name}={value}" for name, value in variables.items() if names.fullmatch(name)]
    return " ".join(sorted(found))[:MAX_LENGTH]


# ---- known messages

Explain = Callable[[re.Match[str], Mapping[str, str]], JmlpError]


def _unknown_flags(found: re.Match[str], variables: Mapping[str, str]) -> JmlpError:
    variable, flags = found[1], found[2].strip()[:MAX_LENGTH]
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
    return DeviceError(
        f"JAX cannot be loaded: {found[0]}; install it with: {command_that_installs('jax')}"
    )


def no_device(device: str, reason: str, variables: Mapping[str, str] | None = None) -> DeviceError:
    """The error for a missing device, with what requested it, JAX's reason, and remedies.

    Args:
        device: the requested device: `auto`, `cpu` or `gpu`.
        reason: JAX's message.
        variables: the environment that JAX was started with; by default that of this process, as
            the user has set it.
    """
    given = _as_given(variables)
    named = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_DEFAULT_DEVICE")
    asked = [f"{name}={given[name]}" for name in named if given.get(name)]
    if device == "auto" and asked:
        return DeviceError(
            f"{' '.join(asked)}: JAX finds no such device ({reason[:MAX_LENGTH]}); unset it, or "
            "see what `jmlp doctor` says"
        )
    remedies = []
    if asked and device != "cpu":  # --device cpu overrides them
        remedies.append(f"unset {' '.join(asked)}")
    others = {name: value for name, value in given.items() if name not in named}
    if settings := _settings(others, _CHOOSES_DEVICES):
        remedies.append(f"check {settings}")
    if device != "cpu":
        remedies.append("use --device cpu")
    if device == "gpu" and lacks_cuda():
        remedies.append(f"install JAX for NVIDIA GPUs ({command_that_installs(CUDA)})")
    remedy = f"{', '.join(remedies)}, or " if remedies else ""
    return DeviceError(
        f"--device {device}: JAX finds no such device ({reason[:MAX_LENGTH]}); {remedy}"
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
