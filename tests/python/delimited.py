"""Reads protobuf pages: delimited messages `io.prometheus.client.MetricFamily`."""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

#: The header of a client that asks for them.
ACCEPT = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)


@dataclass
class Histogram:
    """A histogram of such a page."""

    labels: dict[str, str]
    count: int
    sum: float
    #: Upper bounds of the classic buckets.
    bounds: list[float]
    schema: int
    #: Observations in the buckets of positive values, without empty ones at the ends.
    native: list[int]
    zero: int


def histograms(page: bytes, name: str) -> list[Histogram]:
    """Return the series of a family of histograms."""
    (family,) = [family for family in _messages(page) if family[1] == [name.encode()]]
    assert family[3] == [4]
    return [_histogram(_fields(metric)) for metric in family[4]]


def _histogram(metric: dict[int, list[Any]]) -> Histogram:
    pairs = [_fields(pair) for pair in metric[1]]
    (histogram,) = map(_fields, metric[7])
    count, native = 0, []
    deltas = [_signed(delta) for packed in histogram[13] for delta in _packed(packed)]
    for span in map(_fields, histogram[12]):
        native += [0] * (_signed(span[1][0]) if native else 0)
        for _ in range(span[2][0]):
            count += deltas.pop(0)
            native.append(count)
    assert deltas == []
    return Histogram(
        labels={pair[1][0].decode(): pair[2][0].decode() for pair in pairs},
        count=histogram[1][0],
        sum=histogram[2][0],
        bounds=[_fields(bucket)[2][0] for bucket in histogram[3]],
        schema=_signed(histogram[5][0]),
        native=native,
        zero=sum(histogram[7]),
    )


def _messages(page: bytes) -> list[dict[int, list[Any]]]:
    messages, at = [], 0
    while at < len(page):
        length, at = _varint(page, at)
        messages.append(_fields(page[at : at + length]))
        at += length
    return messages


def _fields(message: bytes) -> dict[int, list[Any]]:
    """Return the values of each field by its number: integers, doubles, or bytes."""
    fields, at = defaultdict(list), 0
    while at < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
            case 1:
                (value,) = struct.unpack_from("<d", message, at)
                at += 8
            case 2:
                length, at = _varint(message, at)
                value = message[at : at + length]
                at += length
            case wire_type:
                raise AssertionError(f"unexpected wire type {wire_type}")
        fields[tag >> 3].append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def _packed(data: bytes) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def _signed(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
