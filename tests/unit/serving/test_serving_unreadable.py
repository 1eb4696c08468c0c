"""What is told of a message that is no request."""

from __future__ import annotations

import httptools
import pytest

from flyball.serving.connections import HEAD_BYTES
from flyball.serving.problem import Problem
from flyball.serving.unreadable import check_size, no_proxy, why, without_upgrade


def parsed(raising: Exception | None, content: bytes) -> httptools.HttpParserError:
    """The parser's error over `content`, with a callback that raises."""

    class Callbacks:
        def on_url(self, _: bytes) -> None:
            if raising:
                raise raising

    with pytest.raises(httptools.HttpParserError) as caught:
        httptools.HttpRequestParser(Callbacks()).feed_data(content)
    return caught.value


def test_a_head_may_be_as_long_as_the_limit() -> None:
    """A field counts with its colon, its space and its end of line: four bytes more."""
    name = b"x" * (HEAD_BYTES - len(b"/pathvalue") - 4)
    check_size(b"/path", [(name, b"value")])
    with pytest.raises(Problem, match="32768 bytes"):
        check_size(b"/path", [(name, b"value!")])


def test_a_problem_raised_while_parsing_is_what_is_told() -> None:
    """It comes out of the parser as an error of it; the fault is the client's."""
    problem = no_proxy()
    assert why(parsed(problem, b"GET / HTTP/1.1\r\n\r\n")) == (problem, None)


def test_a_fault_of_ours_while_parsing_is_told_as_ours() -> None:
    """500 for the client, the fault itself for the log."""
    fault = ZeroDivisionError()
    problem, cause = why(parsed(fault, b"GET / HTTP/1.1\r\n\r\n"))
    assert (problem.status, cause) == (500, fault)


def test_what_is_no_http_is_told_in_the_words_of_the_parser() -> None:
    """Never in the client's."""
    problem, cause = why(parsed(None, b"secret\x00\r\n\r\n"))
    assert (problem.status, cause) == (400, None)
    assert "secret" not in problem.detail


def test_a_head_without_its_upgrade_is_otherwise_the_same() -> None:
    """Every other field stays, in its order."""
    fields = [(b"host", b"a"), (b"upgrade", b"h2c"), (b"connection", b"upgrade"), (b"content-length", b"2")]
    assert without_upgrade(b"POST", b"/x", "1.1", fields) == (
        b"POST /x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\n"
    )
