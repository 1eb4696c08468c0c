"""A PostgreSQL server of the tests' own: a new cluster, a socket in a folder, gone afterwards. No mock of it anywhere."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: whoever runs as root starts the server as one of these: PostgreSQL refuses root.
OTHERS = ("postgres", "nobody")
USER = "flyball"


@dataclass
class Server:
    """Started and ready."""

    programs: Path
    folder: Path
    user: str | None
    process: subprocess.Popen[bytes] = field(init=False)
    _made: int = 0

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:secret@/{database}?host={self.folder}"

    def new_database(self, template: str | None = None) -> str:
        """The URL of an empty database, or of a copy of another that nobody is connected to."""
        self._made += 1
        name = f"t{os.getpid()}_{self._made}"
        self.psql("postgres", f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return self.url(name)

    def psql(self, database: str, *statements: str) -> str:
        """As somebody would who has the server, and knows nothing of Flyball."""
        words = [str(self.programs / "psql"), "-h", str(self.folder), "-U", USER, "-v", "ON_ERROR_STOP=1", "-qtA"]
        given = [word for statement in statements for word in ("-c", statement)]
        return subprocess.run([*words, *given, database], check=True, capture_output=True, text=True).stdout.strip()

    def start(self) -> None:
        settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"]
        self.process = subprocess.Popen(
            [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), *settings],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self.who(),
        )
        ready = [str(self.programs / "pg_isready"), "-q", "-h", str(self.folder), "-t", "1"]
        deadline = time.monotonic() + 30
        while subprocess.run(ready, check=False).returncode:
            assert self.process.poll() is None, "the server ended while starting"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, as when the machine loses its current: every connection is cut."""
        self.process.send_signal(3)  # SIGQUIT
        self.process.wait(30)

    def who(self) -> dict[str, Any]:
        return {} if self.user is None else {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid}


def why_not() -> str | None:
    """Why there can be no server here; None where there can."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed: flyball[postgres]"
    if programs() is None:
        return "no PostgreSQL server is installed: neither initdb on the PATH nor in its usual folder"
    if os.geteuid() == 0 and other_user() is None:
        return "PostgreSQL refuses to run as root, and there is no other user to run it as"
    return None


def programs() -> Path | None:
    """The folder with initdb: the PATH's, else the newest where Debian keeps them."""
    found = shutil.which("initdb")
    usual = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    path = Path(found).resolve() if found else next(reversed(usual), None)
    return None if path is None else path.parent


def other_user() -> str | None:
    there = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in OTHERS if name in there), None)


@contextmanager
def running() -> Iterator[Server]:
    """A server until the block ends. In a folder with a short name: a socket's path has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    where = programs()
    assert where is not None
    server = Server(where, folder, other_user() if os.geteuid() == 0 else None)
    if server.user is not None:
        shutil.chown(folder, server.user)
    folder.chmod(0o755)
    try:
        made = [str(where / "initdb"), "-D", str(folder / "data"), "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **server.who())
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
