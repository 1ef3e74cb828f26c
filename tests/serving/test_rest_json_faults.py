"""What is wrong with JSON, and at which byte. Each line was compared with rapidjson 1.1.0."""

import pytest

from serving.rest_json_faults import find_fault

TOO_BIG = "Number too big to be stored in double."
SURROGATE = "The surrogate pair in string is invalid."
HEX = "Incorrect hex digit after \\u escape in string."


@pytest.mark.parametrize(
    ("text", "fault", "offset"),
    [
        (" ", "The document is empty.", 1),
        ("\ufeff", "The document is empty.", 3),
        ("]", "The document is empty.", 0),
        ("{", "Missing a name for object member.", 1),
        ("{a: 1}", "Missing a name for object member.", 1),
        ('{"a": 1,}', "Missing a name for object member.", 8),
        ('{"a" 1}', "Missing a colon after a name of object member.", 5),
        ('{"a": }', "Invalid value.", 6),
        ('{"a": 1 "b": 2}', "Missing a comma or '}' after an object member.", 8),
        ('{"红": 1', "Missing a comma or '}' after an object member.", 9),
        ('{"a": [{}, 1}', "Missing a comma or ']' after an array element.", 12),
        ("[1, 01]", "Missing a comma or ']' after an array element.", 5),
        ("[1,]", "Invalid value.", 3),
        ("[,1]", "Invalid value.", 1),
        ("[nul]", "Invalid value.", 4),
        ("[-]", "Invalid value.", 2),
        ("[-true]", "Invalid value.", 2),
        ("[Na]", "Invalid value.", 3),
        ("[-Infinit]", "Invalid value.", 9),
        ("['a']", "Invalid value.", 1),
        ("[1\0]", "Missing a comma or ']' after an array element.", 2),
        ("[1.]", "Miss fraction part in number.", 3),
        ("[1.5e+]", "Miss exponent in number.", 6),
        ("[0, 1e309]", TOO_BIG, 4),
        ("[0.01e311]", TOO_BIG, 1),
        ("[0e309]", TOO_BIG, 1),
        (f"[-{'9' * 310}]", TOO_BIG, 1),
        ('["a', "Missing a closing quotation mark in string.", 3),
        ('["a\0"]', "Missing a closing quotation mark in string.", 3),
        ('["红\n"]', "Invalid escape character in string.", 5),
        ('["\\q"]', "Invalid escape character in string.", 2),
        ('["\\u12g4"]', HEX, 2),
        ('["\\ud83d\\u00"]', HEX, 2),
        ('["a\\ud83d"]', SURROGATE, 3),
        ('["\\ud83d\\u0041"]', SURROGATE, 2),
    ],
)
def test_faults(text: str, fault: str, offset: int) -> None:
    assert find_fault(text.encode()) == f"{fault} at offset: {offset}"


@pytest.mark.parametrize(
    "text",
    [
        '\ufeff {"a": [1, -0.5e-9, true, false, null, {}, [], "\\"\\\\/\\b\\u00e9\\ud83d\\ude00"], "a": ""} }',
        "[NaN, -NaN, Inf, -Inf, Infinity, -Infinity, 1e308, 12e308, 0.01e310, 1e-400]",
        "[" * 1000 + "]" * 1000,
        '"\\udc00"',
        "1 2",
        "[" + "1," * 100_000,
    ],
    ids=["values", "numbers", "deep", "half", "first", "long"],
)
def test_what_has_none_or_one_too_far_off(text: str) -> None:
    assert find_fault(text.encode()) == ""


def test_bytes_that_are_no_text_are_none_of_its_faults() -> None:
    assert find_fault(b'["\xff"]') == ""
