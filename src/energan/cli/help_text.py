"""How options read in `--help`: as argparse writes them, `--out PATH` and `RUN`, without a default
where none is set.

Nothing here needs torch.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, TypeVar, get_args, get_origin

import tyro
from tyro.constructors import (
    MISSING,
    MISSING_NONPROP,
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

Options = TypeVar("Options")
Text = Any
"""A help text, None for none, or a function that gives one."""


def cli(command: type[Options], args: Sequence[str], prog: str) -> Options:
    """`tyro.cli` with options that read so."""
    return tyro.cli(command, args=args, prog=prog, registry=_Readable())


class _Readable(ConstructorRegistry):
    """tyro's own rules, with other placeholders and defaults in the help."""

    def __init__(self) -> None:
        super().__init__()
        self.struct_rule(self._rewritten)
        self.at_work = False

    def _rewritten(self, info: StructTypeInfo) -> StructConstructorSpec | None:
        if self.at_work:  # tyro's rules are asked
            return None
        self.at_work = True
        try:
            spec = self.get_struct_spec(info)
        finally:
            self.at_work = False
        if not isinstance(spec, StructConstructorSpec):
            return None
        return replace(spec, fields=tuple(map(_readable, spec.fields)))


def _readable(field: StructFieldSpec) -> StructFieldSpec:
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(field.type, set()))
    if not isinstance(spec, PrimitiveConstructorSpec):  # a group of options
        return field
    kind: Any = field.type
    marks: Sequence[Any] = ()
    if get_origin(kind) is Annotated:
        kind, *marks = get_args(kind)
    placeholder = None  # of a flag
    if tyro.conf.Positional in marks:
        name = field.name.upper()
        optional = field.default not in (MISSING, MISSING_NONPROP)
        placeholder = f"[{name} ...]" if spec.nargs == "*" else f"[{name}]" if optional else name
    elif kind is not bool:
        placeholder = _types(spec.metavar, field.default)
    option = tyro.conf.arg(metavar=placeholder, help_behavior_hint=_default)
    rewritten: Any = Annotated[(kind, option, *marks)]  # what a field says of itself comes after
    return replace(field, type=rewritten, helptext=_joined(field.helptext))


def _types(written: str, default: object) -> str:
    """ "{None}|INT" and "[STR [STR ...]]" as argparse writes them. None is one of the values only
    where it is not the default."""
    found = re.sub(r"\{None\}\||(?<=\{)None,", "", written)
    if found != written and default is not None:
        found += "|None"
    found = re.sub(r"\[(\S+) \[\1 \.\.\.\]\]", r"[\1 ...]", found)
    return re.sub(
        r"\{([^{},]* [^{},]*)\}", r"\1", found.replace("|", " | " if " " in found else "|")
    )


def _default(label: str) -> str:
    return "" if label in ("", "None") else f"(default: {label})"


def _joined(text: Text) -> Text:
    """Without the ends of the lines that it has in the code."""
    if callable(text):
        return lambda: _joined(text())
    return text and re.sub(r"(?<!\n)\n(?!\n)", " ", text)
