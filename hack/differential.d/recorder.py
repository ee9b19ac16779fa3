"""A backend that records what it is sent, a client that sends bytes, and what can be compared of both.

In: bytes. Out: one line that says what came of them.
"""

import re
import socket
import threading
import time

# What a proxy adds, what is about one connection, and how a body is framed: none of it is compared.
UNCOMPARED = {"connection", "keep-alive", "proxy-connection", "te", "content-length", "transfer-encoding", "via"}
# A client has its answer, or there is none, when nothing came for so long.
QUIET = 0.4
PATIENCE = 1.5


class Backend:
    """Answers each whole request on some ports that follow each other with the same bytes."""

    def __init__(self, host: str, first: int, count: int):
        self.lock = threading.Lock()
        self.connections: list[bytearray] = []
        self.answer = b""
        for number in range(count):
            listener = socket.create_server((host, first + number), backlog=128)
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def prepare(self, answer: bytes) -> None:
        """Forgets what was sent before."""
        with self.lock:
            self.answer = answer
            for connection in self.connections:
                connection.clear()

    def taken(self) -> list[bytes]:
        """The messages that came, and what is less than one, by connection."""
        with self.lock:
            return [part for connection in self.connections for part in split(bytes(connection), False)]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        came = bytearray()
        with self.lock:
            self.connections.append(came)
        answered = 0
        with connection:
            while piece := receive(connection):
                with self.lock:
                    if not came:
                        answered = 0
                    came += piece
                    whole = sum(1 for part in split(bytes(came), False) if size(part, False) is not None)
                    answer = self.answer
                for _ in range(whole - answered):
                    connection.sendall(answer)
                # An answer that ends with its connection.
                if whole > answered and b"Connection: close" in answer:
                    break
                answered = max(whole, answered)


def receive(connection: socket.socket) -> bytes:
    """What comes next; nothing at the end of the connection, however it ends."""
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def exchange(port: int, request: bytes) -> tuple[bytes, bool]:
    """Sends a request; what came back, and whether the connection ended."""
    came = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(min(left, QUIET) if came else left)
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                return came, False
            except OSError:
                return came, True
            if not piece:
                return came, True
            came += piece
    return came, False


def size(message: bytes, response: bool) -> int | None:
    """How long the message is that these bytes begin with; none where it is not whole."""
    head, end, body = message.partition(b"\r\n\r\n")
    if not end:
        return None
    if response and re.match(rb"HTTP/1\.\d (1\d\d|204|304)", head):
        return len(head) + 4
    if re.search(rb"(?im)^transfer-encoding:", head):
        last = re.match(rb"(?s)(?:[0-9a-fA-F]+[^\r]*\r\n.*?\r\n)*?0+\r\n(?:[^\r]+\r\n)*\r\n", body)
        return len(head) + 4 + last.end() if last else None
    length = re.search(rb"(?im)^content-length:[ \t]*(\d+)", head)
    if response and not length:
        return len(message)  # it ends with its connection
    total = len(head) + 4 + (int(length.group(1)) if length else 0)
    return total if total <= len(message) else None


def split(data: bytes, response: bool) -> list[bytes]:
    """Whole messages, and the rest."""
    parts = []
    while (end := size(data, response)) is not None:
        parts.append(data[:end])
        data = data[end:]
    return parts + ([data] if data else [])


def describe(came: bytes, ended: bool, requests: list[bytes]) -> str:
    """What can be compared, in one line."""
    statuses = []
    for part in split(came, True):
        status = re.match(rb"HTTP/1\.\d (\d+)", part)
        statuses.append(status.group(1).decode() if status else "?")
    answer = " ".join(statuses) or "nothing"
    sent = " & ".join(sorted(message(request) for request in requests)) or "nothing"
    return f"{answer}{', closed' if ended else ''} <- {sent}"


def shortened(line: str) -> str:
    """For people."""
    return line if len(line) <= 110 else f"{line[:80]} ... ({len(line)} characters)"


def message(request: bytes) -> str:
    """A request that the backend was sent."""
    text = request.decode("latin-1")
    head, _, body = text.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    fields = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() not in UNCOMPARED and not re.match(r"(?i)x-forwarded-", name):
            fields.append(f"{name.lower()}={value.strip()}")
    if re.search(r"(?im)^transfer-encoding:", head):
        trailers = body.rpartition("0\r\n")[2]
        body = "".join(re.findall(r"(?s)[0-9a-f]+\r\n(.+?)\r\n", body.removesuffix(f"0\r\n{trailers}")))
        fields += [f"[{line}]" for line in trailers.lower().split("\r\n") if line]
    whole = "" if size(request, False) is not None else " (broken off)"
    method_and_target = first.rsplit(" ", 1)[0]
    return repr(" ".join([method_and_target, *sorted(fields), *([body] if body else [])]))[1:-1] + whole
