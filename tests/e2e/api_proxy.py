"""A way to the API server that a test can cut or freeze, for one client only. Bytes are passed on, nothing is faked."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import yaml

_CHUNK = 65536


@dataclass
class ApiProxy:
    """Listens on the loopback and passes on to the server of a kubeconfig."""

    kubeconfig: Path
    _listener: socket.socket = field(init=False)
    _pairs: list[tuple[socket.socket, socket.socket]] = field(default_factory=list)
    _frozen: set[socket.socket] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)
    _cut: bool = False

    def __post_init__(self) -> None:
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        server = urlsplit(config["clusters"][0]["cluster"]["server"])
        self._server = (str(server.hostname), server.port or 443)
        self._listener = socket.create_server(("127.0.0.1", 0))
        # The server's certificate is for its own address; that a client checks it is not what these tests are about.
        config["clusters"][0]["cluster"] = {
            "server": f"https://127.0.0.1:{self._listener.getsockname()[1]}",
            "insecure-skip-tls-verify": True,
        }
        self.through = self.kubeconfig.with_name("kubeconfig-through-proxy")
        self.through.write_text(yaml.safe_dump(config), encoding="utf-8")

    def __enter__(self) -> ApiProxy:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def cut(self) -> None:
        """End every connection and take no new one."""
        self._cut = True
        for pair in list(self._pairs):
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Take connections again."""
        self._cut = False

    def freeze(self) -> None:
        """Pass nothing on any more over the connections there are; new ones work. What a lost firewall entry does."""
        self._frozen.update(end for pair in self._pairs for end in pair)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._cut:
                    client.close()
                else:
                    self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """One connection, until both ends have ended."""
        with client, socket.create_connection(self._server, timeout=10) as server:
            server.settimeout(None)
            pair = (client, server)
            self._pairs.append(pair)
            back = self._start(self._pass_on, server, client)
            self._pass_on(client, server)
            back.join()
            self._frozen.difference_update(pair)
            with contextlib.suppress(ValueError):
                self._pairs.remove(pair)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(_CHUNK):
                if one not in self._frozen:
                    other.sendall(data)
            if one not in self._frozen:
                other.shutdown(socket.SHUT_RDWR)

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread
