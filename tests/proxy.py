"""A TCP proxy between clients and a genied, that cuts, changes or slows down what passes.

It knows how long each piece of the stream is (docs/wire-format.md), so it can say where a frame
ends. Python's standard library only."""

import select
import socket
import struct
import threading

# Sizes of docs/wire-format.md and wire/proto.h.
PREAMBLE, HELLO, WELCOME, DEVICE = 56, 184, 248, 1504
DEVICE_COUNT = 44  # where it is in WELCOME
FRAME, BULK = 8, 16
UP, DOWN = "up", "down"


class Pieces:
    """Cuts one direction of one connection into its pieces: where does each begin?"""

    def __init__(self, way, is_bulk):
        self.way, self.is_bulk = way, is_bulk
        self.heads = [HELLO] if way == UP else [PREAMBLE, WELCOME]
        self.heads_seen = 0
        self.buffer = b""
        self.begins = [0]

    def _length(self):
        """Of the piece at the buffer's beginning; None: not enough of it is here to tell."""
        if self.heads_seen < len(self.heads):
            return self.heads[self.heads_seen]
        if self.is_bulk:
            form, head = "<4xI", BULK
        else:
            form, head = "<I", 0 if self.way == UP else FRAME
        if len(self.buffer) < 8:
            return None
        return struct.unpack_from(form, self.buffer)[0] + head

    def feed(self, data):
        self.buffer += data
        while True:
            length = self._length()
            if not length or length > len(self.buffer):
                return
            if self.heads_seen < len(self.heads):
                self.heads_seen += 1
                if length == WELCOME and not self.is_bulk:
                    count = struct.unpack_from("<I", self.buffer, DEVICE_COUNT)[0]
                    self.heads += [DEVICE] * min(count, 64)
            self.buffer = self.buffer[length:]
            self.begins.append(self.begins[-1] + length)


class Plan:
    """What to do to the streams. Counted from the first byte of one direction of one connection."""

    def __init__(self, connection=None, way=None, cut=None, change=None, rate=None):
        self.connection, self.way = connection, way  # 0: commands, 1: bulk
        self.cut = cut        # offset at which both connections of the session end
        self.change = change  # {offset: byte to xor}
        self.rate = rate      # bytes a second, in both directions of all


class Proxy:
    """Listens on a port of its own. One session at a time matters; others pass."""

    def __init__(self, address, plan):
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self.target, self.plan = (host, int(port)), plan
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.lock = threading.Lock()
        self.connections = []  # pairs of sockets
        self.pieces = {}  # (connection, way) -> Pieces
        self.ended = False
        self.threads = [threading.Thread(target=self._listen, daemon=True)]
        self.threads[0].start()

    def _listen(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, 5)
            except OSError:
                client.close()
                continue
            with self.lock:
                number = len(self.connections)
                self.connections.append((client, server))
                if self.ended:
                    self._cut_locked()
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._pass, args=(number, client, server), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _pass(self, number, client, server):
        pieces = {UP: Pieces(UP, number > 0), DOWN: Pieces(DOWN, number > 0)}
        self.pieces.update({(number, way): piece for way, piece in pieces.items()})
        sent = {UP: 0, DOWN: 0}
        ways = {client: (UP, server), server: (DOWN, client)}
        while True:
            try:
                readable = select.select(list(ways), [], [], 0.5)[0]
                for sock in readable:
                    way, other = ways[sock]
                    data = sock.recv(4096 if self.plan.rate else 65536)
                    if not data:
                        raise OSError
                    if not self._forward(number, way, other, data, sent, pieces[way]):
                        return
            except (OSError, ValueError):
                for sock in ways:
                    sock.close()
                return

    def _forward(self, number, way, other, data, sent, pieces):
        plan, begin = self.plan, sent[way]
        if number == plan.connection and way == plan.way:
            if plan.change:
                data = bytes(byte ^ plan.change.get(begin + i, 0) for i, byte in enumerate(data))
            if plan.cut is not None and begin + len(data) >= plan.cut:
                other.sendall(data[:plan.cut - begin])
                with self.lock:
                    self._cut_locked()
                return False
        pieces.feed(data)
        sent[way] += len(data)
        other.sendall(data)
        if plan.rate:
            threading.Event().wait(len(data) / plan.rate)
        return True

    def _cut_locked(self):
        self.ended = True
        for pair in self.connections:
            for sock in pair:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def boundaries(self, connection, way):
        """Where pieces began in that direction."""
        pieces = self.pieces.get((connection, way))
        return pieces.begins if pieces else []

    def close(self):
        # close() alone would leave the thread in accept().
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            self._cut_locked()
        for thread in self.threads:
            thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
