"""What rapidjson 1.1, TF Serving's parser, says of JSON that it does not read (reader.h, error/en.h)."""

import re

_FAULTS = {
    # what was expected -> what its absence is called
    "document": "The document is empty.",
    "value": "Invalid value.",
    "value or ]": "Invalid value.",
    "name": "Missing a name for object member.",
    "name or }": "Missing a name for object member.",
    ":": "Missing a colon after a name of object member.",
    ", or }": "Missing a comma or '}' after an object member.",
    ", or ]": "Missing a comma or ']' after an array element.",
}
_VALUES = ("document", "value", "value or ]")

_MOST_STEPS = 100_000
"""Values, names and marks that are looked at: what comes after so many is not worth the time, about 0.2 seconds."""

_SPACE = re.compile(rb"[ \t\r\n]*")
_HEX, _HIGH, _LOW = rb"[0-9A-Fa-f]{4}", rb"[Dd][89ABab][0-9A-Fa-f]{2}", rb"[Dd][C-Fc-f][0-9A-Fa-f]{2}"
_TEXT = re.compile(
    rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u(?!%b)%b|u%b\\u%b)[^"\\\x00-\x1f]*+)*+' % (_HIGH, _HEX, _HIGH, _LOW)
)
_BAD_HEX = re.compile(rb"\\u(?!%b)|\\u%b\\u(?!%b)" % (_HEX, _HIGH, _HEX))
_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]*))?")
_WORD = re.compile(rb"true|false|null|-?(?:NaN|Infinity|Inf(?!i))")
_BEGINNING = re.compile(
    rb"t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?|-?(?:Na?|I(?:n(?:f(?:i(?:n(?:it?)?)?)?)?)?)?"
)  # as much of a word as is there, perhaps nothing

_MAX_EXPONENT = 308
_TENTH_OF_MAX = 1.7976931348623157e307


class _Fault(Exception):
    def __init__(self, message: str, at: int) -> None:
        super().__init__(f"{message} at offset: {at}")


def find_fault(body: bytes) -> str:
    """What is wrong first with the first value of a body, and its place in bytes; empty where nothing is found."""
    try:
        _read_value(body)
    except _Fault as fault:
        return str(fault)
    return ""


def _read_value(body: bytes) -> None:
    at = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    expected = "document"
    ends: list[bytes] = []  # of the objects and lists that are open
    for _ in range(_MOST_STEPS):
        at = _skip(_SPACE, body, at)
        mark = body[at : at + 1]
        if mark == b'"' and expected.startswith("name"):
            at, expected = _text_end(body, at + 1), ":"
        elif mark == b":" == expected.encode():
            at, expected = at + 1, "value"
        elif mark == b"," and expected.startswith(","):
            at, expected = at + 1, "name" if ends[-1] == b"}" else "value"
        elif mark in (b"{", b"[") and expected in _VALUES:
            ends.append(b"}" if mark == b"{" else b"]")
            at, expected = at + 1, "name or }" if mark == b"{" else "value or ]"
        elif mark in (b"}", b"]") and expected.endswith(f"or {mark.decode()}"):
            ends.pop()
            at, expected = at + 1, _after_value(ends)
        elif expected in _VALUES and mark not in (b"", b"\0", b"}", b"]", b",", b":"):
            at, expected = _scalar_end(body, at), _after_value(ends)
        else:
            raise _Fault(_FAULTS[expected], at)
        if not ends:
            return


def _after_value(ends: list[bytes]) -> str:
    return f", or {ends[-1].decode()}" if ends else ""


def _scalar_end(body: bytes, at: int) -> int:
    if body.startswith(b'"', at):
        return _text_end(body, at + 1)
    number = _NUMBER.match(body, at)
    if number is not None:
        _check_number(number)
    found = number or _WORD.match(body, at)
    if found is None:
        raise _Fault("Invalid value.", _skip(_BEGINNING, body, at))
    return found.end()


def _check_number(number: re.Match[bytes]) -> None:
    whole, fraction, exponent = number.groups()
    if float(whole[:-1] or 0) >= _TENTH_OF_MAX:
        raise _Fault("Number too big to be stored in double.", number.start())
    if fraction == b"":
        raise _Fault("Miss fraction part in number.", number.end(2))
    if exponent is None:
        return
    if not exponent[-1:].isdigit():
        raise _Fault("Miss exponent in number.", number.end())
    if float(exponent) > _MAX_EXPONENT + len(fraction or b""):
        raise _Fault("Number too big to be stored in double.", number.start())


def _text_end(body: bytes, at: int) -> int:
    """Behind the closing mark of the string whose text begins at `at`."""
    at = _skip(_TEXT, body, at)
    mark = body[at : at + 1]
    if mark == b'"':
        return at + 1
    if mark in (b"", b"\0"):
        raise _Fault("Missing a closing quotation mark in string.", at)
    if not body.startswith(b"\\u", at):
        raise _Fault("Invalid escape character in string.", at)
    if _BAD_HEX.match(body, at):
        raise _Fault("Incorrect hex digit after \\u escape in string.", at)
    raise _Fault("The surrogate pair in string is invalid.", at)


def _skip(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    """Behind what a pattern, which matches nothing, too, matches at `at`."""
    match = pattern.match(body, at)
    assert match is not None
    return match.end()
