"""E-mail by a real server on loopback: encrypted and proven, or nothing is sent; what passes and what does not."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flyball.loop.channels.kinds import tell
from flyball.loop.channels.message import read_message
from flyball.loop.channels.request import Away, Rejected
from flyball.project.records import AlertSettings, Channel

NOW = datetime(2026, 1, 5, 3, tzinfo=UTC)
LOGIN = {"MAIL_TEST_USER": "fly", "MAIL_TEST_PASSWORD": "s3cret"}
MESSAGE = read_message(
    {
        "key": "late:performance:1",
        "model": "late",
        "name": "performance",
        "severity": "critical",
        "status": "firing",
        "title": "late: performance below its promise",
        "at": "2026-01-05T03:00:00.000000Z",
        "context": {"recent": {"metric": "auc", "values": [0.7, 0.61]}},
    },
    AlertSettings(channels=(), routes={}),
)


@dataclass
class Post:
    """What the server took; what it says to a recipient, to the text, to goodbye: first of the list, then yes for ever."""

    port: int = 0
    got: list[EmailMessage] = field(default_factory=list)
    to_recipient: list[str] = field(default_factory=list)
    to_text: list[str] = field(default_factory=list)
    to_goodbye: list[str] = field(default_factory=list)

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, options: list[str]) -> str:
        answer = self.to_recipient.pop(0) if self.to_recipient else "250 OK"
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _: Any, session: Any, envelope: Any) -> str:
        answer = self.to_text.pop(0) if self.to_text else "250 OK"
        if answer.startswith("2"):
            assert session.ssl is not None or isinstance(self, Direct)  # nothing is taken in the clear
            self.got.append(message_from_bytes(envelope.content, policy=policy.default))
        return answer

    async def handle_QUIT(self, *_: Any) -> str:
        return self.to_goodbye.pop(0) if self.to_goodbye else "221 Bye"


class Direct(Post):
    """Encrypted from the first byte on; the session does not know."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Files: the authority's certificate, and a server's with its key in one."""

    authority: Path
    server: Path


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    return certified(tmp_path_factory.mktemp("proof"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


def certified(folder: Path, name: x509.GeneralName) -> Proof:
    """An authority of its own and a server's certificate by it, for `name`."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("test authority", "server")]
    today = datetime.now(UTC)

    def made(who: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(subject_name=names[who], issuer_name=names[0], public_key=keys[who].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - timedelta(days=1))
            .not_valid_after(today + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=who == 0, path_length=None), critical=True)
        )

    own = made(0).sign(keys[0], hashes.SHA256())
    served = made(1).add_extension(x509.SubjectAlternativeName([name]), critical=False).sign(keys[0], hashes.SHA256())
    pem = serialization.Encoding.PEM
    key = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "authority.pem").write_bytes(own.public_bytes(pem))
    (folder / "server.pem").write_bytes(served.public_bytes(pem) + key)
    return Proof(folder / "authority.pem", folder / "server.pem")


class Loopback(Controller):
    """A server on a port that the system gives, which the first connection needs to know."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        socket.create_connection(("127.0.0.1", self.port), 5).close()


def logged_in(_: Any, __: Any, ___: Any, ____: Any, given: Any) -> AuthResult:
    known = isinstance(given, LoginPassword) and (given.login, given.password) == (b"fly", b"s3cret")
    return AuthResult(success=known, handled=known)


@contextmanager
def running(post: Post, proof: Proof | None = None, **options: Any) -> Iterator[Post]:
    """`proof`: the certificate it shows; without one it offers no encryption."""
    context = None
    if proof is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(proof.server)
    secured = {"ssl_context": context} if isinstance(post, Direct) else {"tls_context": context}
    controller = Loopback(post, hostname="127.0.0.1", port=0, **secured, **options)
    controller.start()
    try:
        post.port = controller.port
        yield post
    finally:
        controller.stop()


def channel(post: Post, proof: Proof | None, **changed: Any) -> Channel:
    made = Channel(
        name="post",
        kind="email",
        host="127.0.0.1",
        port=post.port,
        security="tls" if isinstance(post, Direct) else "starttls",
        ca_file=None if proof is None else str(proof.authority),
        sender="Fly <fly@example.org>",
        to=("ann@example.org", "bob@example.org"),
    )
    return replace(made, **changed)


def mail(found: Channel, environ: dict[str, str] | None = None) -> None:
    tell(found, [MESSAGE], now=NOW, environ=environ or {})


@pytest.mark.parametrize("kind", [Post, Direct], ids=["starttls", "tls"])
def test_a_proven_server_takes_the_mail(kind: type[Post], proof: Proof) -> None:
    """To all, in one mail, with the sparkline whole."""
    with running(kind(), proof) as post:
        mail(channel(post, proof))
    (got,) = post.got
    assert got["Subject"] == "critical: late: performance below its promise"
    assert got["To"] == "ann@example.org, bob@example.org"
    assert "auc, last 2 days: █▁ now 0.61" in got.get_content()


@pytest.mark.parametrize("kind", [Post, Direct], ids=["starttls", "tls"])
def test_an_unproven_server_gets_nothing(kind: type[Post], proof: Proof) -> None:
    """Its authority is none of the system's, and no ca_file names it: no retry will change that."""
    with running(kind(), proof) as post, pytest.raises(Rejected, match="its certificate was not proven"):
        mail(channel(post, None))
    assert post.got == []


def test_a_certificate_of_another_name_proves_nothing(tmp_path: Path) -> None:
    other = certified(tmp_path, x509.DNSName("mail.example.org"))
    with running(Post(), other) as post, pytest.raises(Rejected, match="its certificate was not proven"):
        mail(channel(post, other))
    assert post.got == []


def test_nothing_goes_out_in_the_clear(proof: Proof) -> None:
    """A server that offers no STARTTLS is refused, login or not."""
    named = {"user_env": "MAIL_TEST_USER", "password_env": "MAIL_TEST_PASSWORD"}
    with running(Post(), auth_require_tls=False, authenticator=logged_in) as post:
        for found in (channel(post, proof), channel(post, proof, **named)):
            with pytest.raises(Rejected, match="offers no STARTTLS"):
                mail(found, LOGIN)
    assert post.got == []


@pytest.mark.filterwarnings(
    "ignore:Requiring AUTH while not requiring TLS"
)  # the server does not know that it is inside
@pytest.mark.parametrize("kind", [Post, Direct], ids=["starttls", "tls"])
def test_a_login_is_read_from_variables(kind: type[Post], proof: Proof) -> None:
    """The right one is let in, the wrong one refused for good, and neither is in the error."""
    options = {"authenticator": logged_in, "auth_required": True, "auth_require_tls": kind is Post}
    with running(kind(), proof, **options) as post:
        found = channel(post, proof, user_env="MAIL_TEST_USER", password_env="MAIL_TEST_PASSWORD")
        mail(found, LOGIN)
        assert len(post.got) == 1
        with pytest.raises(Rejected, match="answered 535") as refused:
            mail(found, {**LOGIN, "MAIL_TEST_PASSWORD": "guess5"})
        with pytest.raises(Rejected, match="answered 530"):
            mail(channel(post, proof))
        with pytest.raises(Rejected, match="MAIL_TEST_PASSWORD is not set"):
            mail(found, {"MAIL_TEST_USER": "fly"})
    assert "guess5" not in str(refused.value)
    assert len(post.got) == 1


def test_a_server_without_a_login_is_refused(proof: Proof) -> None:
    """It was told to log in and cannot: the mail is not sent without."""
    with running(Post(), proof, auth_exclude_mechanism=["LOGIN", "PLAIN"]) as post:
        found = channel(post, proof, user_env="MAIL_TEST_USER", password_env="MAIL_TEST_PASSWORD")
        with pytest.raises(Rejected, match="the server offers no login"):
            mail(found, LOGIN)
    assert post.got == []


@pytest.mark.parametrize(
    ("asked", "answers", "kind"),
    [
        ("to_recipient", ["450 busy", "450 busy"], Away),
        ("to_recipient", ["550 nobody", "550 nobody"], Rejected),
        ("to_recipient", ["550 nobody", "450 busy"], Away),
        ("to_text", ["451 later"], Away),
        ("to_text", ["554 no"], Rejected),
    ],
)
def test_4xx_passes_and_5xx_does_not(asked: str, answers: list[str], kind: type[Exception], proof: Proof) -> None:
    with running(Post(), proof) as post:
        getattr(post, asked).extend(answers)
        with pytest.raises(kind, match=r"alert channel post: email failed \(answered [45]"):
            mail(channel(post, proof))
        assert post.got == []
        mail(channel(post, proof))  # and it may be tried again
        assert len(post.got) == 1


def test_one_bad_recipient_is_told_and_the_others_have_it(proof: Proof) -> None:
    with running(Post(), proof) as post:
        post.to_recipient.append("550 nobody")
        with pytest.raises(Rejected, match="1 of 2 recipients were refused, the others have it"):
            mail(channel(post, proof))
    assert len(post.got) == 1


def test_what_was_taken_is_taken_whatever_goodbye_is_answered(proof: Proof) -> None:
    """A server that goes down after it took the mail does not get it twice."""
    with running(Post(), proof) as post:
        post.to_goodbye.append("421 going down")
        mail(channel(post, proof))
    assert len(post.got) == 1


def test_a_second_try_has_the_same_id(proof: Proof) -> None:
    """The receiver may drop it: the first was lost after it was taken, for all the sender knows."""
    with running(Post(), proof) as post:
        for _ in range(2):
            mail(channel(post, proof))
    first, second = post.got
    assert first["Message-ID"] == second["Message-ID"]
    assert first["References"] == second["References"] != first["Message-ID"]


def test_a_ca_file_that_is_not_there_is_named(proof: Proof, tmp_path: Path) -> None:
    with running(Post(), proof) as post, pytest.raises(Rejected, match=r"ca_file .*none\.pem cannot be read"):
        mail(channel(post, proof, ca_file=str(tmp_path / "none.pem")))
    assert post.got == []
