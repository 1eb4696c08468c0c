"""Carries requests out: HTTP and SMTP, with a time-out, and every failure told as Away or Rejected.

An address is a secret: an error names the channel and the reason, never the address, nor what the other side said.
"""

from __future__ import annotations

import http.client
import smtplib
import ssl
import urllib.error
import urllib.request
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from flyball.loop.channels.request import Away, HttpRequest, Mail, Rejected

TIMEOUT_S = 5
#: refusals that pass by themselves: request time-out, too early, too many requests.
PASSING = (408, 425, 429)


def send(request: HttpRequest | Mail, *, now: datetime) -> None:
    """One request. Raises Away, Rejected."""
    if isinstance(request, Mail):
        _mail(request)
    else:
        _post(request, now)


class _Stay(urllib.request.HTTPRedirectHandler):
    """What is sent to one host is not carried to another: a redirect is an answer like any other."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(request: HttpRequest, now: datetime) -> None:
    if not request.url.startswith(("http://", "https://")):
        raise Rejected("its variable does not hold an http(s) address")
    headers = {"Content-Type": "application/json", "User-Agent": "flyball", **request.headers}
    try:
        posted = urllib.request.Request(request.url, request.body, headers)  # noqa: S310  # scheme checked above
        urllib.request.build_opener(_Stay).open(posted, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in PASSING or error.code >= 500:
            raise Away(f"answered {error.code}", retry_after_s=_retry_after(error, now)) from None
        told = ", a redirect, which is not followed" if error.code < 400 else ""
        raise Rejected(f"answered {error.code}{told}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise Rejected("its certificate was not proven") from None
        raise Away(type(error.reason).__name__ if isinstance(error.reason, Exception) else "no connection") from None
    except (ValueError, http.client.InvalidURL):
        raise Rejected("its variable does not hold an address") from None
    except (OSError, http.client.HTTPException) as error:
        raise Away(type(error).__name__) from None


def _retry_after(error: urllib.error.HTTPError, now: datetime) -> float | None:
    """Seconds or an HTTP-date (RFC 9110, 10.2.3); None where it says neither."""
    told = error.headers.get("Retry-After", "")
    if told.isascii() and told.isdigit():
        return float(told[:9])
    try:
        return max(0.0, (parsedate_to_datetime(told) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _mail(mail: Mail) -> None:
    channel = mail.channel
    assert channel.host is not None
    try:
        proof = ssl.create_default_context(cafile=channel.ca_file)
    except (OSError, ssl.SSLError):
        raise Rejected(f"ca_file {channel.ca_file} cannot be read") from None
    try:
        server = _connection(channel.host, channel.port, channel.security, proof)
        try:
            if mail.user is not None and mail.password is not None:
                _log_in(server, mail.user, mail.password)
            refused = server.send_message(mail.message)
            _part(server)
        finally:
            server.close()
    except ssl.SSLCertVerificationError:
        raise Rejected("its certificate was not proven") from None
    except smtplib.SMTPNotSupportedError:
        raise Rejected(
            "the server offers no STARTTLS, or takes no such address; nothing is sent in the clear"
        ) from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise _answered(min(codes)) from None
    except smtplib.SMTPResponseException as error:
        raise _answered(error.smtp_code) from None
    except (OSError, smtplib.SMTPException) as error:
        raise Away(type(error).__name__) from None
    if refused:
        # The others have it; a second one to them would be a double.
        raise Rejected(f"{len(refused)} of {len(channel.to)} recipients were refused, the others have it")


def _connection(host: str, port: int, security: str, proof: ssl.SSLContext) -> smtplib.SMTP:
    if security == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=proof)
    server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    try:
        server.starttls(context=proof)
    except BaseException:
        server.close()
        raise
    return server


def _log_in(server: smtplib.SMTP, user: str, password: str) -> None:
    try:
        server.login(user, password)
    except smtplib.SMTPResponseException:
        raise
    except (UnicodeError, smtplib.SMTPException) as error:
        if isinstance(error, smtplib.SMTPServerDisconnected):
            raise
        raise Rejected("the server offers no login that is known here, or the login is not ASCII") from None


def _part(server: smtplib.SMTP) -> None:
    """Say goodbye. The mail was taken: whatever is answered now, it must not be sent a second time."""
    try:
        server.quit()
    except (OSError, smtplib.SMTPException):
        pass


def _answered(code: int) -> Away | Rejected:
    return Away(f"answered {code}") if 400 <= code < 500 else Rejected(f"answered {code}")
