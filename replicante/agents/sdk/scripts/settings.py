"""How an agent is told of its scripts: structs, how they are read, and the words of a command.
Pure; called by the program of an agent and by `actions`.

Rule: no shell reads anything. An argument reaches a program as part of one word, whatever it holds,
and never as what could be taken for an option of that program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from replicante.errors import InvalidConfig
from replicante.limits import SCRIPT_MS_DEFAULT, SCRIPT_MS_MAX, SCRIPT_TEXT_CHARACTERS_MAX
from replicante.model.codec import Value

_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_KINDS: dict[str, Any] = {"text": str, "whole": int, "yes_no": bool}

Argument: TypeAlias = str | int | bool


class ScriptArgument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One argument of a script's action."""

    type: Literal["text", "whole", "yes_no"] = "text"
    """`whole` is a whole number; `yes_no` reaches the program as `true` or `false`."""
    default: Argument | None = None
    """None: who asks for the action has to give it."""
    choices: tuple[str, ...] = ()
    """Of a text: it must be one of these. None: any text without line ends and control
    characters."""

    def annotation(self) -> Any:
        """The type that checks it, and that describes it in the catalogue."""
        if self.choices:
            return Literal[self.choices]
        if self.type == "text":
            bounds = msgspec.Meta(
                max_length=SCRIPT_TEXT_CHARACTERS_MAX, pattern=r"\A[^\x00-\x1f\x7f]*\Z"
            )
            return Annotated[str, bounds]
        return _KINDS[self.type]


class ScriptSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of action that a program carries out. It ends with 0 when the wish is fulfilled, by
    this run or before it; with any other code the action fails, with the end of what was printed.
    Its input is a JSON map of `kind` and `args`."""

    description: str
    """For people who look at what this agent can do."""
    command: tuple[str, ...]
    """A program and its arguments, one word each: no shell reads them. `{name}` is replaced by the
    argument of that name."""
    args: dict[str, ScriptArgument] = {}
    """Name → what may be given for it."""
    limit_ms: int = SCRIPT_MS_DEFAULT
    """For one run, in milliseconds. Then the program and what it started are asked to end, and five
    seconds later they are killed."""
    is_repeatable: bool = False
    """A run that was cut off, as by a restart of the machine, is begun anew. Otherwise its action
    fails: nobody knows how far it came."""

    def __post_init__(self) -> None:
        if not self.command or not self.command[0]:
            raise ValueError("command must be a program and its arguments")
        if any("\0" in word for word in self.command) or _PLACE.search(self.command[0]):
            raise ValueError("the program must be named as it is, and no word holds a zero byte")
        if not 0 < self.limit_ms <= SCRIPT_MS_MAX:
            raise ValueError(f"limit_ms must be between 1 and {SCRIPT_MS_MAX}")
        for name, argument in self.args.items():
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"{name} is no name of an argument")
            if argument.choices and argument.type != "text":
                raise ValueError(f"{name} has choices and is no text")
            if argument.default is not None:
                msgspec.convert(argument.default, argument.annotation())
        named = {name for word in self.command for name in _PLACE.findall(word)}
        if unknown := sorted(named - set(self.args)):
            raise ValueError(f"the command names {', '.join(unknown)}, which is no argument")

    def arguments(self) -> type[msgspec.Struct]:
        """What the arguments of an action are read with."""
        settings = self

        def check(given: msgspec.Struct) -> None:
            settings.words(msgspec.structs.asdict(given))

        fields = [
            (name, argument.annotation())
            if argument.default is None
            else (name, argument.annotation(), argument.default)
            for name, argument in self.args.items()
        ]
        return msgspec.defstruct(
            "ScriptArgs",
            fields,
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
            namespace={"__post_init__": check},
        )

    def words(self, given: Mapping[str, Argument]) -> tuple[str, ...]:
        """Raises ValueError for an argument that would be read as an option."""
        return tuple(_filled(word, given) for word in self.command)


def read_scripts(value: Value) -> dict[str, ScriptSettings]:
    """Kind → its script, from a map as a configuration file gives it.  Raises InvalidConfig."""
    try:
        return msgspec.convert(value, dict[str, ScriptSettings])
    except msgspec.ValidationError as exc:
        raise InvalidConfig(f"The scripts cannot be used: {exc}.") from exc


def _filled(word: str, given: Mapping[str, Argument]) -> str:
    filled = _PLACE.sub(lambda found: _text(given[found[1]]), word)
    if filled.startswith("-") and not word.startswith("-"):
        raise ValueError(f"{filled[:100]} would be read as an option")
    return filled


def _text(value: Argument) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
