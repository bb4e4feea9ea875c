"""Checks JSON against the types of a vendor's own SDK: TypedDict, pydantic models, unions, literals, containers.

Stricter than the SDKs: a key that the type does not know is a violation, as it is for the vendor's API.
"""
import collections.abc
import enum
import typing

import typing_extensions
from pydantic import BaseModel

ANYTHING = (typing.Any, object)
SEQUENCES = (list, collections.abc.Sequence, collections.abc.Iterable)
MAPPINGS = (dict, collections.abc.Mapping)
WRAPPERS = tuple(
    wrapper
    for name in ('Annotated', 'Required', 'NotRequired', 'ReadOnly', 'ClassVar')
    for module in (typing, typing_extensions)
    if (wrapper := getattr(module, name, None)) is not None
)


def violations(value, kind, place='body'):
    """What is wrong with `value` as a `kind`: a list of sentences, empty if nothing is."""
    kind = _bare(kind)
    origin = typing.get_origin(kind)
    if kind in ANYTHING:
        return []
    if kind is None or kind is type(None):
        return [] if value is None else [f'{place}: {_show(value)} is not null']
    if _is_union(kind):
        return _closest([violations(value, option, place) for option in typing.get_args(kind)])
    if origin is typing.Literal or origin is typing_extensions.Literal:
        return [] if value in typing.get_args(kind) else [f'{place}: {_show(value)} is none of {typing.get_args(kind)}']
    if typing_extensions.is_typeddict(kind):
        hints = typing_extensions.get_type_hints(kind, include_extras=True)
        return _object(value, hints, kind.__required_keys__, kind.__name__, place)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        hints, required = _model(kind)
        return _object(value, hints, required, kind.__name__, place)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        names = [member.value for member in kind]
        return [] if value in names else [f'{place}: {_show(value)} is none of {names}']
    if origin in SEQUENCES or kind in SEQUENCES or getattr(origin, '__name__', '') == 'SequenceNotStr':
        if not isinstance(value, list):
            return [f'{place}: {_show(value)} is not an array']
        inner = (typing.get_args(kind) or (object,))[0]
        return [said for index, item in enumerate(value) for said in violations(item, inner, f'{place}[{index}]')]
    if origin in MAPPINGS or kind in MAPPINGS:
        if not isinstance(value, dict):
            return [f'{place}: {_show(value)} is not an object']
        inner = (typing.get_args(kind) or (str, object))[1]
        return [said for key, item in value.items() for said in violations(item, inner, f'{place}.{key}')]
    return _plain(value, kind, place)


def _bare(kind):
    """The type without `Required[…]`, `Annotated[…]`, aliases and the like."""
    while True:
        if typing.get_origin(kind) in WRAPPERS:
            kind = typing.get_args(kind)[0]
        elif isinstance(kind, typing_extensions.TypeAliasType):
            kind = kind.__value__
        elif isinstance(kind, typing.TypeVar):
            kind = kind.__bound__ or object
        elif hasattr(kind, '__supertype__'):
            kind = kind.__supertype__
        else:
            return kind


def _is_union(kind):
    origin = typing.get_origin(kind)
    return origin is typing.Union or getattr(origin, '__name__', '') == 'UnionType'


def _closest(tried):
    """The verdict of the alternative that fits best: the one that complains about what stands deepest."""
    def depth(said):
        return max((sentence.split(':')[0].count('.') + sentence.split(':')[0].count('[') for sentence in said), default=99)
    return min(tried, key=lambda said: (bool(said), -depth(said), len(said)))


def _model(kind):
    kind.model_rebuild()
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    required = {name for name, field in fields.items() if field.is_required()}
    return {name: field.annotation for name, field in fields.items()}, required


def _object(value, hints, required, name, place):
    if not isinstance(value, dict):
        return [f'{place}: {_show(value)} is not a {name}']
    said = [f'{place}: {name} needs `{key}`' for key in required if key not in value]
    for key, item in value.items():
        if key in hints:
            said += violations(item, hints[key], f'{place}.{key}')
        else:
            said.append(f'{place}.{key}: {name} has no such key')
    return said


def _plain(value, kind, place):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        str: isinstance(value, str),
        bool: isinstance(value, bool),
        int: is_number and float(value).is_integer(),
        float: is_number,
        bytes: isinstance(value, str),
    }
    if kind not in fits: # a type that JSON has no value of, such as an open file
        return [f'{place}: {_show(value)} is not of type {kind!r}']
    return [] if fits[kind] else [f'{place}: {_show(value)} is not of type {kind.__name__}']


def _show(value):
    text = repr(value)
    return text if len(text) < 80 else f'{text[:77]}...'
