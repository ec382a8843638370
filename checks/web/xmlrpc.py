"""What an XML-RPC call was answered with, decoded safely: the standard library's values, without entities, and bounded in depth.

Format: xmlrpc.com/spec. xmlrpc.client's own parser takes document types with entities, which grow without bounds, and any depth.
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat
from xmlrpc import client

from checks.seattle.errors import quoted
from checks.web.answers import Fault, Incomplete, Malformed

_DEEPEST = 200
_BROKEN_OFF = [
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
]


class _TooMuch(Exception):
    """What no answer needs."""


def decode(body: bytes) -> Any:
    """Return the value an answer holds. Raises Fault or Malformed."""
    values = client.Unmarshaller(use_builtin_types=True)
    try:
        _parse(body, values)
        answer = values.close()
    except client.Fault as fault:
        if type(fault.faultCode) is not int or not isinstance(fault.faultString, str):
            raise Malformed(f"the fault is not of XML-RPC's form: {quoted(body)}") from fault
        raise Fault(fault.faultCode, fault.faultString) from fault
    except MemoryError:
        raise
    except (
        Exception
    ) as error:  # whatever Unmarshaller's parts raise: IndexError, KeyError, binascii.Error, decimal's ...
        if isinstance(error, expat.ExpatError) and error.code in _BROKEN_OFF and _begins_well(body):
            # HTTP/1.0 without a length, which Python 2's WSGI servers speak, does not tell.
            raise Incomplete(f"the answer broke off after {len(body)} bytes") from error
        raise Malformed(f"the answer is not XML-RPC: {quoted(body)}") from error
    if not isinstance(answer, tuple) or len(answer) != 1:
        raise Malformed(f"the answer holds no single value: {quoted(body)}")
    return answer[0]


def _begins_well(body: bytes) -> bool:
    return any(body.startswith(begin) or begin.startswith(body) for begin in (b"<?xml", b"<methodResponse"))


def _parse(body: bytes, values: client.Unmarshaller) -> None:
    """Feed the unmarshaller; raises expat's errors, _TooMuch, and what the unmarshaller raises."""
    parser = expat.ParserCreate()
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise _TooMuch
        values.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        values.end(tag)

    def refuse(*_: object) -> None:
        raise _TooMuch

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = values.data
    # Entities are declared only in a document type, and XML-RPC has none.
    parser.StartDoctypeDeclHandler = refuse
    values.xml("", None)  # no encoding: expat gives text
    parser.Parse(body, True)
