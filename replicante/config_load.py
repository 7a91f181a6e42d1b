"""Reads the settings of a peer: TOML file, then environment, then flags, the later one wins.

Called by the command line. Rules: an unknown key is an error that names the nearest valid one; a
wrong type is an error that names where the value came from; all problems are reported at once.
"""

from __future__ import annotations

import difflib
import enum
import ssl
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from replicante import limits
from replicante.clock import SystemClock
from replicante.config import PeerConfig, Problem, WorkersSection
from replicante.config_rules import validate
from replicante.config_schema import ENVIRONMENT_PREFIX, Setting, Value, build, settings
from replicante.errors import InvalidConfig

FILE_BYTES_MAX = 1 * limits.MIB
VALUE_SHOWN_CHARACTERS_MAX = 80


class Source(enum.Enum):
    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value came from. `where` is the file, the variable or the flag."""

    source: Source
    where: str = ""

    def __str__(self) -> str:
        return f"{self.source.value} {self.where}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A config that keeps all rules, and the origin of every setting by name."""

    config: PeerConfig
    origins: Mapping[str, Origin]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """A value as it was given, not yet read."""

    setting: Setting
    raw: object
    origin: Origin
    read: Callable[[], Value]


def load(
    *, file: Path | None, environment: Mapping[str, str], flags: Mapping[str, str | None]
) -> Loaded:
    """The config of a peer.

    file: a TOML file, none to do without. environment: all variables, others are ignored. flags:
    text by setting name (`peer.id`), None when the flag was not given.
    Raises `InvalidConfig`, whose message and `details["problems"]` name every problem.
    """
    known = {setting.name: setting for setting in settings()}
    problems: list[Problem] = []
    values: dict[str, Value] = {}
    origins = {name: Origin(source=Source.DEFAULT) for name in known}
    faulty: set[str] = set()
    tree = _parse(file) if file is not None else {}
    for given in (
        *_from_file(tree, str(file), known, problems),
        *_from_environment(environment, known, problems),
        *_from_flags(flags, known),
    ):
        name = given.setting.name
        origins[name] = given.origin
        faulty.discard(name)
        problems = [problem for problem in problems if problem.setting != name]
        try:
            values[name] = given.read()
        except ValueError as exc:
            faulty.add(name)
            values.pop(name, None)
            problems.append(_problem(name, given.raw, str(exc), origin=str(given.origin)))
    config = build(values)
    problems += [
        replace(problem, origin=_origin_text(origins.get(problem.setting)))
        for problem in (*validate(config), *_tls_problems(config))
        if problem.setting not in faulty
    ]
    if problems:
        raise _invalid(problems)
    return Loaded(config=config, origins=origins)


def _tls_problems(config: PeerConfig) -> list[Problem]:
    """What is wrong with the TLS files, when all are named."""
    found = [
        *_client_tls_problems(config.workers, whom="agent"),
        *_client_tls_problems(config.workers, whom="platform"),
    ]
    if config.raft.tls_files is None:
        return found
    from replicante import pki  # `cryptography` is large, and most commands do without TLS

    certificate, key, authority = config.raft.tls_files
    tls = pki.TlsFiles(certificate=certificate, key=key, authority=authority)
    faults = pki.faults(
        tls,
        cluster=config.peer.cluster,
        peer_id=config.peer.id,
        now_ms=SystemClock().wall_ms(),
    )
    return found + [
        Problem(
            setting=f"raft.tls_{fault.file.value}_file",
            value=repr(str(tls.path(fault.file))),
            rule=fault.rule,
        )
        for fault in faults
    ]


def _client_tls_problems(workers: WorkersSection, *, whom: str) -> list[Problem]:
    certificate, key, authority = (
        getattr(workers, f"{whom}_tls_{part}_file") for part in ("certificate", "key", "ca")
    )
    found = []
    if certificate is not None and key is not None:
        try:
            ssl.create_default_context().load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
            rule = f"cannot be used with its key, {key}: {exc}"
            found.append(_tls_problem(f"{whom}_tls_certificate_file", certificate, rule))
    if authority is not None:
        try:
            ssl.create_default_context(cafile=authority)
        except OSError as exc:
            rule = f"cannot be used: {exc}"
            found.append(_tls_problem(f"{whom}_tls_ca_file", authority, rule))
    return found


def _tls_problem(name: str, path: Path, rule: str) -> Problem:
    return Problem(setting=f"workers.{name}", value=repr(str(path)), rule=rule)


def _no_password() -> str:
    raise ValueError("the key has a password")


def _parse(file: Path) -> Mapping[str, object]:
    try:
        with file.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except OSError as exc:
        raise InvalidConfig(
            f"The configuration file {file} cannot be read: {exc.strerror}.",
            hints=["Give the path of a TOML file with --config, or leave the option away."],
        ) from exc
    if len(data) > FILE_BYTES_MAX:
        raise InvalidConfig(f"The configuration file {file} is larger than {FILE_BYTES_MAX} bytes.")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except RecursionError as exc:
        raise InvalidConfig(f"The configuration file {file} is nested too deeply.") from exc
    except ValueError as exc:  # broken TOML, broken UTF-8, a number of thousands of digits
        raise InvalidConfig(f"The configuration file {file} is not TOML: {exc}.") from exc


def _from_file(
    tree: Mapping[str, object],
    file: str,
    known: Mapping[str, Setting],
    problems: list[Problem],
) -> Iterator[_Given]:
    sections = {setting.section for setting in known.values()}
    origin = Origin(source=Source.FILE, where=file)
    for section, table in tree.items():
        if section not in sections:
            rule = "there is no such section" + _nearest(section, sections)
            problems.append(_problem(section, table, rule, origin=str(origin)))
            continue
        if not isinstance(table, dict):
            rule = f"must be a table: write [{section}] and its keys below"
            problems.append(_problem(section, table, rule, origin=str(origin)))
            continue
        for key, raw in table.items():
            name = f"{section}.{key}"
            setting = known.get(name)
            if setting is None:
                rule = "there is no such setting" + _nearest(name, known)
                problems.append(_problem(name, raw, rule, origin=str(origin)))
                continue
            yield _Given(setting=setting, raw=raw, origin=origin, read=_bind(setting.read, raw))


def _from_environment(
    environment: Mapping[str, str], known: Mapping[str, Setting], problems: list[Problem]
) -> Iterator[_Given]:
    by_variable = {setting.environment_name: setting for setting in known.values()}
    # With one underscore it is no setting, yet it can only be meant as one. Any other variable
    # that merely shares the prefix is somebody else's: orchestrators make such by themselves.
    mistyped = {variable.replace("__", "_"): variable for variable in by_variable}
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        raw = environment[variable]
        origin = Origin(source=Source.ENVIRONMENT, where=variable)
        setting = by_variable.get(variable)
        if setting is not None:
            read = _bind_text(setting.read_text, raw)
            yield _Given(setting=setting, raw=raw, origin=origin, read=read)
        elif "__" in variable or variable in mistyped:
            rule = "there is no such setting" + _nearest(variable, by_variable)
            problems.append(_problem(variable, raw, rule, origin=str(origin)))


def _from_flags(flags: Mapping[str, str | None], known: Mapping[str, Setting]) -> Iterator[_Given]:
    for name, raw in flags.items():
        if raw is None:
            continue
        setting = known[name]
        origin = Origin(source=Source.FLAG, where=setting.flag)
        read = _bind_text(setting.read_text, raw)
        yield _Given(setting=setting, raw=raw, origin=origin, read=read)


def _bind(read: Callable[[object], Value], raw: object) -> Callable[[], Value]:
    return lambda: read(raw)


def _bind_text(read: Callable[[str], Value], raw: str) -> Callable[[], Value]:
    return lambda: read(raw)


def _nearest(name: str, candidates: Mapping[str, object] | set[str]) -> str:
    found = difflib.get_close_matches(name, sorted(candidates), n=1, cutoff=0.5)
    if not found:
        return "; known are " + ", ".join(sorted(candidates))
    return f"; the nearest is {found[0]}"


def _origin_text(origin: Origin | None) -> str:
    return "" if origin is None or origin.source is Source.DEFAULT else str(origin)


def _problem(setting: str, raw: object, rule: str, *, origin: str) -> Problem:
    try:
        value = repr(raw)
    except ValueError:  # Python does not write integers of thousands of digits
        value = "a very long number"
    if len(value) > VALUE_SHOWN_CHARACTERS_MAX:
        value = value[: VALUE_SHOWN_CHARACTERS_MAX - 1] + "…"
    return Problem(setting=setting, value=value, rule=rule, origin=origin)


def _invalid(problems: list[Problem]) -> InvalidConfig:
    count = "One setting is" if len(problems) == 1 else f"{len(problems)} settings are"
    lines = "".join(f"\n  {problem}" for problem in problems)
    return InvalidConfig(
        f"{count} not valid:{lines}",
        hints=[
            "replicante config show --origin shows every setting and where its value comes from."
        ],
        problems=[
            {"setting": p.setting, "value": p.value, "rule": p.rule, "origin": p.origin}
            for p in problems
        ],
    )
