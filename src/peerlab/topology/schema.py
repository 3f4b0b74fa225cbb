"""The edge where YAML becomes a ``Document``: pydantic models made from ``document``'s structs, and their JSON Schema.

The language is declared once, in ``document``. Here every struct becomes a model that forbids unknown keys, every
special text (``Prefix``, ``Name``, …) gets its grammar, and pydantic's complaints become sentences for people.
"""

from __future__ import annotations

import ast
import inspect
import ipaddress
import re
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
)

from peerlab.bgp.attributes import Address, Prefix
from peerlab.topology.document import Asn, CommunityText, Document, InterfaceAddress, Name, RangeText
from peerlab.topology.mistake import Mistake, Path, did_you_mean, nearest

_RANGE = re.compile(r"(?P<prefix>\S+?)(?:\s+ge\s+(?P<ge>\d+))?(?:\s+le\s+(?P<le>\d+))?")
_COMMUNITY = re.compile(r"(\d+|\*):(\d+|\*)(:(\d+|\*))?")


def validate(data: object) -> tuple[Document | None, tuple[Mistake, ...]]:
    """The document that plain data describes, and every mistake of form.

    Misspelt and unknown keys and words alone do not hide mistakes of meaning: the document is then made as if they
    had been spelt right, or left out, so that its meaning can be checked in the same run. Otherwise it is None.
    """
    spelling = [detail for detail in _details(data) if detail["type"] in ("extra_forbidden", "enum")]
    for detail in spelling:
        data = _repaired(data, _path(detail), detail)
    remaining = _details(data)
    mistakes = tuple(_mistake(detail) for detail in (*spelling, *remaining))
    if remaining:
        return None, tuple(dict.fromkeys(mistakes))
    return msgspec.convert(_model(Document).model_validate(data), Document, from_attributes=True), mistakes


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a topology file, for completion and checking in an editor."""
    schema = _model(Document).model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "peerlab topology"
    return schema


def _details(data: object) -> list[dict[str, Any]]:
    try:
        _model(Document).model_validate(data)
    except ValidationError as error:
        return [dict(detail) for detail in error.errors(include_url=False)]
    return []


def _path(detail: Mapping[str, Any]) -> Path:
    return tuple(part for part in detail["loc"] if part != "[key]")


def _repaired(data: Any, path: Path, detail: Mapping[str, Any], above: Path = ()) -> Any:
    """A copy of the data with one misspelt key or word put right, or one unknown key left out."""
    head, rest = path[0], path[1:]
    copy: Any = dict(data) if isinstance(data, dict) else list(data)
    if rest:
        copy[head] = _repaired(copy[head], rest, detail, (*above, head))
    elif detail["type"] == "enum":
        copy[head] = nearest(str(copy[head]), _words(detail)) or copy[head]
    else:
        value = copy.pop(head)
        meant = nearest(str(head), _keys_at(above))
        if meant is not None and meant not in copy:
            copy[meant] = value
    return copy


def _words(detail: Mapping[str, Any]) -> list[str]:
    """The words that pydantic expected."""
    return [word.strip("'") for word in re.findall(r"'[^']*'", detail["ctx"]["expected"])]


# -- models from structs -------------------------------------------------------------------------------------------


def _prefix(text: str) -> str:
    if "/" not in text:
        raise ValueError(f"{text!r} has no prefix length; write it as ADDRESS/LENGTH")
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP prefix; write it like 198.18.0.0/24 or 2001:db8::/48") from None
    raise ValueError(f"{text!r} has host bits set; write {network}")


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address; write it like 192.0.2.1 or 2001:db8::1") from None


def _interface_address(text: str) -> str:
    try:
        if "/" in text:
            return str(ipaddress.ip_interface(text))
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not an address with prefix length; write it like 198.18.0.2/30")


def _range(text: str) -> str:
    matched = _RANGE.fullmatch(text.strip())
    if matched is None:
        raise ValueError(f"{text!r} is not a prefix range; write it like 198.18.0.0/16 ge 20 le 24")
    prefix = _prefix(matched["prefix"])
    network = ipaddress.ip_network(prefix)
    low = int(matched["ge"] or network.prefixlen)
    high = int(matched["le"] or (network.max_prefixlen if matched["ge"] else low))
    if not network.prefixlen <= low <= high <= network.max_prefixlen:
        raise ValueError(
            f"{text!r} asks for lengths {low} to {high}; "
            f"they must grow from {network.prefixlen} to {network.max_prefixlen}"
        )
    return " ".join([prefix, *(f"{word} {matched[word]}" for word in ("ge", "le") if matched[word] is not None)])


def _community(text: str) -> str:
    matched = _COMMUNITY.fullmatch(text)
    limit = 0xFFFF if text.count(":") == 1 else 0xFFFFFFFF
    if matched is None or any(part != "*" and int(part) > limit for part in text.split(":")):
        raise ValueError(
            f"{text!r} is not a community; "
            "write A:B with parts up to 65535, or A:B:C (large) with parts up to 4294967295"
        )
    return text


_GRAMMAR: dict[Any, tuple[Any, dict[str, Any]]] = {
    Prefix: (Annotated[str, AfterValidator(_prefix)], {"examples": ["198.18.0.0/24", "2001:db8::/48"]}),
    Address: (Annotated[str, AfterValidator(_address)], {"examples": ["192.0.2.1", "2001:db8::1"]}),
    InterfaceAddress: (Annotated[str, AfterValidator(_interface_address)], {"examples": ["198.18.0.2/30"]}),
    RangeText: (Annotated[str, AfterValidator(_range)], {"examples": ["198.18.0.0/16 le 24"]}),
    CommunityText: (Annotated[str, AfterValidator(_community)], {"pattern": rf"^{_COMMUNITY.pattern}$"}),
    Name: (str, {"pattern": "^[a-z0-9-]{1,32}$"}),
    Asn: (int, {"minimum": 1, "maximum": 4294967294}),
}


def _empty_for_null(value: object) -> object:
    """``router-1:`` with nothing after the colon means that nothing is pinned."""
    return {} if value is None else value


def _empty_list_for_null(value: object) -> object:
    """``providers:`` with nothing after the colon means that there are none."""
    return () if value is None else value


def _typed(annotation: Any) -> Any:
    """The pydantic type for a struct's field type."""
    if annotation in _GRAMMAR:
        inner, extra = _GRAMMAR[annotation]
        return Annotated[inner, Field(json_schema_extra=extra)]
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        item: Any = _typed(args[0])
        return Annotated[tuple[item, ...], BeforeValidator(_empty_list_for_null)]
    if origin is dict:
        value: Any = _typed(args[1])
        return Annotated[dict[str, value], BeforeValidator(_empty_for_null)]
    if origin in (typing.Union, types.UnionType):
        inner = next(arg for arg in args if arg is not type(None))
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            return Annotated[typing.Optional[_model(inner)], BeforeValidator(_empty_for_null)]  # noqa: UP045
        return typing.Optional[_typed(inner)]  # noqa: UP045
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return Annotated[_model(annotation), BeforeValidator(_empty_for_null)]
    return annotation


@cache
def _model(struct: type[msgspec.Struct]) -> type[BaseModel]:
    words: dict[str, Any] = {}
    described = _descriptions(struct)
    for field in msgspec.structs.fields(struct):
        default: Any = ... if field.required else field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if isinstance(default, msgspec.Struct):
            default = _model(type(default))()
        words[field.name] = (_typed(field.type), Field(default, description=described[field.name]))
    return create_model(
        struct.__name__.removesuffix("Words"),
        __config__=ConfigDict(
            extra="forbid",
            frozen=True,
            strict=False,
            alias_generator=_key,
            json_schema_serialization_defaults_required=False,
        ),
        __doc__=inspect.getdoc(struct),
        **words,
    )


def _key(field: str) -> str:
    return field.replace("_", "-")


@cache
def _descriptions(struct: type) -> Mapping[str, str]:
    """The docstring under each field of a struct."""
    body = ast.parse(inspect.getsource(struct)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


# -- pydantic's complaints as sentences ----------------------------------------------------------------------------

_KINDS: dict[str, tuple[str, str]] = {
    "dict_type": ("a mapping", "write KEY: VALUE lines under it"),
    "model_type": ("a mapping", "write KEY: VALUE lines under it"),
    "model_attributes_type": ("a mapping", "write KEY: VALUE lines under it"),
    "tuple_type": ("a list", "write it as [A, B] or with a '- ' before each item"),
    "list_type": ("a list", "write it as [A, B] or with a '- ' before each item"),
    "string_type": ("text", "put it in quotes if it is meant as text"),
    "int_type": ("a whole number", "write digits only"),
    "int_parsing": ("a whole number", "write digits only"),
    "int_from_float": ("a whole number", "write digits only"),
    "float_type": ("a number", "write it like 2.5"),
    "float_parsing": ("a number", "write it like 2.5"),
    "bool_type": ("true or false", "write true or false"),
    "bool_parsing": ("true or false", "write true or false"),
}


def _mistake(detail: Mapping[str, Any]) -> Mistake:
    """One pydantic error as a mistake."""
    path, kind, given = _path(detail), detail["type"], detail["input"]
    if kind == "missing":
        return Mistake(path[:-1], f"required key {path[-1]!r} is missing", f"add {path[-1]}: …")
    if kind == "extra_forbidden":
        return Mistake(path, f"unknown key {path[-1]!r}", did_you_mean(str(path[-1]), _keys_at(path[:-1])))
    if kind == "enum":
        return Mistake(path, f"{_shown(given)} is not one of the words here", did_you_mean(str(given), _words(detail)))
    if kind == "value_error":
        what, _, remedy = str(detail["ctx"]["error"]).partition("; ")
        return Mistake(path, what, remedy)
    if kind in _KINDS:
        wanted, remedy = _KINDS[kind]
        return Mistake(path, f"must be {wanted}, not {_shown(given)}", remedy)
    return Mistake(
        path, f"{detail['msg'].lower()}, got {_shown(given)}", "see `peerlab schema` for what may stand here"
    )


def _shown(value: object) -> str:
    """A value as it stands in the file, short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "…'"


def _keys_at(path: Path) -> list[str]:
    """The keys that the mapping at that path may have."""
    current: Any = Document
    for part in path:
        current = _inside(current, part)
        if current is None:
            return []
    if isinstance(current, type) and issubclass(current, msgspec.Struct):
        return [_key(field.name) for field in msgspec.structs.fields(current)]
    return []


def _inside(annotation: Any, part: str | int) -> Any:
    """The type of what stands under a key or a list position of a type; None when there is no such thing."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        field_types: dict[str, Any] = {_key(f.name): f.type for f in msgspec.structs.fields(annotation)}
        found = field_types.get(str(part))
        options = [a for a in typing.get_args(found) if a is not type(None)]
        is_union = typing.get_origin(found) in (typing.Union, types.UnionType)
        return options[0] if is_union else found
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return args[0]
    if origin is dict:
        return args[1]
    return None
