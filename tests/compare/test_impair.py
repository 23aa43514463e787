"""The emulated network: every byte, never faster than asked for, and as fast as that if the machine
gives it the time. How busy the machine is decides only how often the last is tried."""

import hashlib
import json
import os
import random
import select
import socket
import subprocess
import threading
import time
import unittest

PROGRAM = os.environ.get("COMPARE_BUILD", "")
TRIES = 25


class Target:
    """Sends back what it gets, until its client has said all."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(sock,), daemon=True).start()

    def _echo(self, sock):
        with sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass


class Impaired:
    def __init__(self, target, *options):
        self.process = subprocess.Popen([PROGRAM, "--to", target, *options],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.where, _, figures = line.partition(" ")
        self.figures = json.loads(figures)

    def connect(self):
        host, _, port = self.where.partition(":")
        sock = socket.create_connection((host, int(port)), 60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def exchange(sock, data, pieces):
    """Sends all of @data in @pieces and receives what comes back, at the same time."""
    got, sent = bytearray(), 0
    sock.setblocking(False)
    ended = False
    while True:
        readable, writable, _ = select.select([sock], [] if ended else [sock], [], 60)
        if not readable and not writable:
            raise TimeoutError("nothing moves")
        if writable and sent < len(data):
            sent += sock.send(data[sent:sent + next(pieces)])
        elif writable:
            sock.shutdown(socket.SHUT_WR)
            ended = True
        if readable:
            part = sock.recv(65536)
            if not part:
                return bytes(got)
            got += part


class Impair(unittest.TestCase):
    def setUp(self):
        self.target = Target()
        self.addCleanup(self.target.listener.close)

    def test_every_byte(self):
        """Three connections at once, both ways, pieces of all sizes, and the end arrives too."""
        failures = []

        def one(seed):
            rng = random.Random(seed)
            data = rng.randbytes(700_000 + seed)
            pieces = iter(lambda: rng.choice((1, 7, 4096, 65536, 300_000)), None)
            try:
                with impaired.connect() as sock:
                    got = exchange(sock, data, pieces)
            except OSError as error:
                failures.append(f"{seed}: {error}")
                return
            if hashlib.sha256(got).digest() != hashlib.sha256(data).digest():
                failures.append(f"{seed}: {len(got)} bytes of {len(data)}, or others")

        for options in ((), ("--rate", "400e6", "--round-trip-us", "3000")):
            with Impaired(self.target.address, *options) as impaired:
                threads = [threading.Thread(target=one, args=(seed,)) for seed in (1, 2, 3)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(100)
                    self.assertFalse(thread.is_alive())
        self.assertEqual(failures, [])

    def test_round_trip(self):
        """Never shorter; and of a few, one that nothing else delayed is hardly longer."""
        with Impaired(self.target.address, "--round-trip-us", "20000") as impaired:
            best = 1e9
            with impaired.connect() as sock:
                for _ in range(TRIES):
                    begin = time.monotonic()
                    sock.sendall(b"x")
                    self.assertEqual(sock.recv(1), b"x")
                    took = time.monotonic() - begin
                    self.assertGreaterEqual(took, 0.020)
                    best = min(best, took)
                    if best < 0.022:
                        break
        self.assertLess(best, 0.026)

    def test_rate(self):
        """Of what is sent and comes back: neither way may be faster than the rate; both are at the
        same time, so all of it may take as long as one."""
        rate, data = 40e6, bytes(500_000)
        alone = len(data) * 8 / rate
        with Impaired(self.target.address, "--rate", f"{rate:.0f}") as impaired:
            best = 1e9
            for _ in range(TRIES):
                begin = time.monotonic()
                with impaired.connect() as sock:
                    self.assertEqual(len(exchange(sock, data, iter(lambda: 65536, None))), len(data))
                took = time.monotonic() - begin
                self.assertGreaterEqual(took, alone)
                best = min(best, took)
                if best < alone * 1.15:
                    break
        self.assertLess(best, alone * 1.3)

    def test_the_link_is_shared(self):
        """Two connections together are not faster than one."""
        rate, data = 40e6, bytes(250_000)
        with Impaired(self.target.address, "--rate", f"{rate:.0f}") as impaired:
            socks = [impaired.connect() for _ in range(2)]
            begin = time.monotonic()
            threads = [threading.Thread(target=exchange, args=(sock, data, iter(lambda: 65536, None)))
                       for sock in socks]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            self.assertGreaterEqual(time.monotonic() - begin, 2 * len(data) * 8 / rate)
            for sock in socks:
                sock.close()

    def test_calibrated(self):
        """What the proxy adds itself is taken off, and what was reached is said."""
        with Impaired(self.target.address, "--rate", "200e6", "--round-trip-us", "30000",
                      "--calibrate") as impaired:
            figures = impaired.figures
            self.assertGreater(figures["own_round_trip_us"], 0)
            self.assertLess(figures["bits_per_second"], 200e6 * 1.02)
            self.assertGreater(figures["bits_per_second"], 0)
            self.assertGreater(figures["round_trip_us"], 30000 - figures["own_round_trip_us"])

    def test_a_target_that_is_not_there(self):
        self.target.listener.close()
        with Impaired("127.0.0.1:1") as impaired, impaired.connect() as sock:
            self.assertEqual(sock.recv(1), b"")

    def test_who_stops_reading_blocks_nobody(self):
        with Impaired(self.target.address) as impaired:
            with impaired.connect() as lazy:
                lazy.setblocking(False)
                try:
                    for _ in range(4000):
                        lazy.send(bytes(65536))
                except BlockingIOError:
                    pass
                with impaired.connect() as sock:
                    sock.sendall(b"y")
                    self.assertEqual(sock.recv(1), b"y")
            with impaired.connect() as sock:
                sock.sendall(b"z")
                self.assertEqual(sock.recv(1), b"z")

    def test_wrong_use(self):
        for options in ([], ["--to", "x"], ["--to", "127.0.0.1:1", "--rate", "-1"],
                        ["--to", "127.0.0.1:1", "--rate", "nan"],
                        ["--to", "127.0.0.1:99999"], ["--to", "127.0.0.1:1", "more"],
                        ["--to", "127.0.0.1:1", "--round-trip-us", "1e30"]):
            done = subprocess.run([PROGRAM, *options], capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 2, options)
            self.assertTrue(done.stderr)
