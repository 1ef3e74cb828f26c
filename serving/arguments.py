"""What a caller gives to the client's methods, checked before a server is asked; what a `Request` holds, later."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from serving.answers import Hit, Retrieval
from serving.client_config import LONGEST_TIMEOUT
from serving.errors import BadRequestError
from serving.requests import Request


def product_count(k: SupportsIndex) -> int:
    """k, an int or one of numpy's; BadRequestError for anything else."""
    try:
        count = 0 if isinstance(k, bool) else operator.index(k)
    except TypeError:
        count = 0
    if count < 1:
        raise BadRequestError(f"k: received {k!r}; expected how many products, 1 or more")
    return count


def call_seconds(timeout: Any) -> float:
    """A timeout in seconds, one of Python's or numpy's numbers; BadRequestError for anything else."""
    number = isinstance(timeout, int | float | np.integer | np.floating) and not isinstance(timeout, bool)
    if not number or not 0 < timeout <= LONGEST_TIMEOUT:
        raise BadRequestError(
            f"timeout: received {timeout!r}; expected seconds, more than 0 and at most {LONGEST_TIMEOUT:,.0f}"
        )
    return float(timeout)


def request_list(requests: Iterable[Request]) -> list[Request]:
    """The requests of a batch; BadRequestError where anything else is among them."""
    if not isinstance(requests, Iterable):
        raise BadRequestError(f"requests: received {requests!r}; expected Requests, such as a list")
    listed = list(requests)
    for request in listed:
        if not isinstance(request, Request):
            raise BadRequestError(f"requests: received {request!r}; expected Request(query, history, ...)")
    return listed


def check_retrieval(retrieval: Any) -> None:
    """BadRequestError for what cannot be asked with; a caller may have built it anew. Ids and scores are read later."""
    if not isinstance(retrieval, Retrieval):
        raise BadRequestError(f"retrieval: received {retrieval!r}; expected what `retrieve` returned")
    hits, version, embedding = retrieval.hits, retrieval.version, retrieval.query_embedding
    if not isinstance(hits, Sequence) or not all(isinstance(hit, Hit) for hit in hits):
        raise BadRequestError(f"retrieval hits: received {hits!r}; expected a tuple of Hits")
    if not isinstance(version, int) or not 0 <= version < 2**63:
        raise BadRequestError(f"retrieval version: received {version!r}; expected an int from 0 to 2^63 - 1")
    if not isinstance(embedding, np.ndarray) or embedding.dtype != np.float32:
        raise BadRequestError(f"retrieval query_embedding: received {embedding!r}; expected an array of float32")
