"""Real servers on the loopback address, for tests of models at URLs: nginx, an S3-compatible one, and a cable that is cut."""

from __future__ import annotations

import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
NO_NGINX = "nginx is not installed"

CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error;
events {{ worker_connections 256; }}
http {{
    log_format requests '$request_method $uri $status $body_bytes_sent '
                        '"$http_range" "$http_accept_encoding" "$http_authorization"';
    access_log {folder}/log requests;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    limit_req_zone $server_port zone=busy:1m rate=10r/s;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/www;
        location /whole/ {{ alias {folder}/www/; max_ranges 0; }}
        location /gzip/ {{ alias {folder}/www/; gzip_static always; max_ranges 0; }}
        location = /gzip-ranges/model.onnx {{ alias {folder}/www/model.onnx.gz; add_header Content-Encoding gzip; }}
        location /listed/ {{ alias {folder}/www/; autoindex on; }}
        location /private/ {{ alias {folder}/www/; auth_basic models; auth_basic_user_file {folder}/passwords; }}
        location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}
        location /away/ {{ auth_basic models; auth_basic_user_file {folder}/passwords;
                           rewrite ^/away/(.*)$ http://localhost:{port}/$1?signature=s3cr3t redirect; }}
        location /org/repo/resolve/main/ {{
            rewrite ^/org/repo/resolve/main/(.*)$ http://localhost:{port}/$1?signature=s3cr3t redirect; }}
        location /loop/ {{ rewrite ^ $uri?signature=s3cr3t redirect; }}
        location /busy/ {{ alias {folder}/www/; limit_req zone=busy; }}
        location /broken/ {{ return 500; }}
        location /refused/ {{ return 403; }}
        location /untagged/ {{ alias {folder}/www/; etag off; }}
    }}
}}
"""


class Request(NamedTuple):
    """A line of the server's log."""

    method: str
    path: str
    status: int
    sent: int
    range: str
    encoding: str
    authorization: str


class Nginx:
    """nginx with the files in ``files``; CONFIGURATION says what its paths do. The user is ``ann``, the password ``pa55wd``."""

    def __init__(self, folder: Path) -> None:
        self.files, self._log, self._read = folder / "www", folder / "log", 0
        self.files.mkdir()
        (folder / "passwords").write_text("ann:{PLAIN}pa55wd\n")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "conf").write_text(CONFIGURATION.format(folder=folder, port=self.port))
        command = [NGINX or "nginx", "-p", str(folder), "-e", str(folder / "error"), "-c", str(folder / "conf")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for(self.port)

    def requests(self) -> list[Request]:
        """The requests since the last call."""
        mark = f"/mark-{os.urandom(4).hex()}"
        with closing(socket.create_connection(("127.0.0.1", self.port))) as connection:
            connection.sendall(f"GET {mark} HTTP/1.0\r\n\r\n".encode())
            connection.recv(100)
        while mark not in (text := self._log.read_text()):
            time.sleep(0.005)
        lines = text[self._read :].splitlines()
        self._read = len(text)
        found = []
        for line in lines:
            plain, asked, encoding, authorization = [part.strip() for part in line.split('"') if part.strip()]
            method, path, status, sent = plain.split()
            found.append(Request(method, path, int(status), int(sent), asked, encoding, authorization))
        return [request for request in found if not request.path.startswith("/mark-")]


@contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    """A server with files in a new folder of ``folder``."""
    folder.mkdir(exist_ok=True)
    server = Nginx(folder)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@contextmanager
def s3() -> Iterator[str]:
    """The address of an S3-compatible server without buckets."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def cut_cable(port: int, after: int, times: int) -> Iterator[int]:
    """The port of a relay to ``port`` that ends its first ``times`` connections after so many bytes of answers."""
    left = [times]

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            cuts, left[0] = left[0] > 0, left[0] - 1
            passed = 0
            with closing(socket.create_connection(("127.0.0.1", port))) as server:
                threading.Thread(target=self.send_questions, args=(server,), daemon=True).start()
                while content := server.recv(2**16):
                    part = content[: after - passed] if cuts else content
                    self.request.sendall(part)
                    passed += len(part)
                    if cuts and passed >= after:
                        return

        def send_questions(self, server: socket.socket) -> None:
            try:
                while content := self.request.recv(2**16):
                    server.sendall(content)
            except OSError:
                pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Relay) as relay:
        thread = threading.Thread(target=relay.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield relay.server_address[1]
        finally:
            relay.shutdown()
            thread.join()


class SlowLine:
    """A relay to a server that keeps each request for ``delay`` seconds, as a long way does."""

    def __init__(self, delay: float) -> None:
        self.delay, self.port, self.requests, self.most, self._open = delay, 0, 0, 0, 0
        self._lock = threading.Lock()

    def begin(self) -> None:
        with self._lock:
            self.requests += 1
            self._open += 1
            self.most = max(self.most, self._open)

    def end(self) -> None:
        with self._lock:
            self._open -= 1


@contextmanager
def slow_line(port: int, delay: float) -> Iterator[SlowLine]:
    """Its ``requests`` are counted, and ``most`` is how many were under way at the same time."""
    line = SlowLine(delay)

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.waits = False
            with closing(socket.create_connection(("127.0.0.1", port))) as server:
                threading.Thread(target=self.send_answers, args=(server,), daemon=True).start()
                with suppress(OSError):
                    while content := self.request.recv(2**16):
                        if not self.waits:
                            self.waits = True
                            line.begin()
                            time.sleep(line.delay)
                        server.sendall(content)
                if self.waits:
                    line.end()

        def send_answers(self, server: socket.socket) -> None:
            with suppress(OSError):
                while content := server.recv(2**16):
                    if self.waits:
                        self.waits = False
                        line.end()
                    self.request.sendall(content)
                # The client learns that the server has closed the connection before it sends its next request.
                self.request.shutdown(socket.SHUT_WR)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, request_queue_size = True, 256

    with Server(("127.0.0.1", 0), Relay) as relay:
        line.port = relay.server_address[1]
        thread = threading.Thread(target=relay.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield line
        finally:
            relay.shutdown()
            thread.join()


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int, seconds: float = 30) -> None:
    """Returns when something listens on the port."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
