"""The HTTP client goes only where it may, and never longer than it may."""

from __future__ import annotations

import ipaddress
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from django.conf import LazySettings
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Response

from core import addresses, outbound
from core.outbound import OutboundFailed, OutboundRefused

LOOPBACK = ["127.0.0.0/8", "::1/128"]
METADATA = "169.254.169.254"


@pytest.fixture
def allowed(settings: LazySettings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = LOOPBACK


def send(url: str, *, timeout: float = 5) -> outbound.OutboundResponse:
    return outbound.post(url, b"{}", {"x-test": "1"}, timeout=timeout)


@pytest.mark.usefixtures("allowed")
def test_answer_carries_status_headers_and_head(httpserver: HTTPServer) -> None:
    answer = httpserver.expect_request("/hook", headers={"x-test": "1"}, data="{}")
    answer.respond_with_data("a" * 3000, status=202, headers={"X-Seen": "yes"})

    response = send(httpserver.url_for("/hook"))

    assert response.status == 202
    assert response.headers["x-seen"] == "yes"
    assert response.body_head == b"a" * 1024
    assert 0 < response.elapsed_seconds < 5


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",  # noqa: S104  # an address to refuse
        "127\u30020\u30020\u30021",
        "\uff11\uff12\uff17.0.0.1",
        "[::1]",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[fec0::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        METADATA,
        "2852039166",
        f"[::ffff:{METADATA}]",
        "10.0.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "224.0.0.1",
        "192.0.0.8",
        "255.255.255.255",
        # metadata of clouds, in every spelling that a resolver takes
        "0251.0376.0251.0376",
        "0xa9fea9fe",
        "0xA9.0xFE.0xA9.0xFE",
        "169.254.43518",
        "169.16689662",
        "\u2460\u2461\u2466.0.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "[::a9fe:a9fe]",
        "[::ffff:a9fe:a9fe]",
        "[::ffff:0:a9fe:a9fe]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1:a9fe:a9:fe00::]",
        "[2002:a9fe:a9fe::1]",
        "[2001:0:a9fe:a9fe::1]",  # Teredo
        "[2001:10::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[5f00::1]",
        "[100::1]",
        "[fe80::a9fe:a9fe]",
        "[fec0::a9fe:a9fe]",
        "[ff05::1]",
        "[fc00::1]",
        "[fd12:3456::1]",
    ],
)
def test_no_spelling_of_an_inner_address_is_called(host: str) -> None:
    with pytest.raises(OutboundRefused):
        send(f"https://{host}/")


@pytest.mark.parametrize(
    "host",
    [
        f"{METADATA}.",
        "%31%32%37.0.0.1",
        "[fe80::1%25lo]",
        "localhost.",
        "ip6-localhost",
    ],
)
def test_spelling_that_only_some_resolvers_take_is_not_called_either(host: str) -> None:
    with pytest.raises((OutboundRefused, OutboundFailed), match=r"internet|no such"):
        send(f"https://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "//example.com/",
        "https://user:secret@example.com/",
        "http://example.com/",
        "https://example.com:99999/",
        "https://8.8.8.8:22/",
        "http://8.8.8.8/",
        "not a url",
        "https://exa\nmple.com/",
    ],
)
def test_other_urls_are_refused_without_a_look_up(url: str) -> None:
    with pytest.raises(OutboundRefused):
        outbound.check_url(url)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/hook", "https://8.8.8.8:8443/", "https://[2606:4700::1]/"],
)
def test_public_urls_pass_the_check(url: str) -> None:
    outbound.check_url(url)


def test_allowed_network_does_not_open_the_others(settings: LazySettings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = LOOPBACK
    for host in (METADATA, "10.0.0.1", "[fd00::1]"):
        with pytest.raises(OutboundRefused):
            send(f"http://{host}/")


def test_plain_http_is_only_for_allowed_networks(settings: LazySettings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = LOOPBACK
    with pytest.raises(OutboundRefused, match="https"):
        outbound.check_url("http://8.8.8.8/")
    outbound.check_url("http://127.0.0.1:80/")


def _answer_look_ups(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Play the DNS server; return the names that were asked for."""
    waiting, asked, real = list(answers), [], socket.getaddrinfo

    def getaddrinfo(host, port, *args, flags=0, **kwargs):
        if flags & socket.AI_NUMERICHOST or host[0].isdigit():
            return real(host, port, *args, flags=flags, **kwargs)
        asked.append(host)
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET, kind, 6, "", (a, port)) for a in waiting.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_one_inner_address_among_public_ones_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _answer_look_ups(monkeypatch, ["93.184.216.34", "127.0.0.1"])
    with pytest.raises(OutboundRefused):
        send("https://mixed.example/")


@pytest.mark.usefixtures("allowed")
def test_name_is_looked_up_once_and_the_checked_address_dialled(
    monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/").respond_with_data("ok")
    asked = _answer_look_ups(monkeypatch, ["127.0.0.1"], [METADATA])

    response = send(f"http://rebinding.example:{httpserver.port}/")

    assert response.status == 200
    assert asked == ["rebinding.example"]
    request, _ = httpserver.log[0]
    assert request.headers["Host"] == f"rebinding.example:{httpserver.port}"


@pytest.mark.usefixtures("allowed")
def test_next_address_is_tried_when_one_is_dead(
    monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/").respond_with_data("ok")
    _answer_look_ups(monkeypatch, ["127.0.0.77", "127.0.0.1"])
    assert send(f"http://two.example:{httpserver.port}/").status == 200


@pytest.mark.usefixtures("allowed")
def test_unknown_host_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    _answer_look_ups(monkeypatch, [])
    with pytest.raises(OutboundFailed, match="no such host"):
        send("https://nowhere.example/")


@pytest.mark.usefixtures("allowed")
def test_redirect_is_an_answer_and_not_followed(httpserver: HTTPServer) -> None:
    target = httpserver.url_for("/inner")
    httpserver.expect_request("/").respond_with_data("", 302, {"Location": target})

    assert send(httpserver.url_for("/")).status == 302
    assert len(httpserver.log) == 1


@pytest.mark.usefixtures("allowed")
def test_proxies_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    httpserver.expect_request("/").respond_with_data("ok")
    assert send(httpserver.url_for("/")).status == 200


@pytest.mark.usefixtures("allowed")
def test_body_is_read_up_to_64_kib(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("a" * 10**6)
    assert len(send(httpserver.url_for("/")).body) == 64 * 1024


class _TarPit(socketserver.BaseRequestHandler):
    """Answers one byte now and then, for ever."""

    def handle(self) -> None:
        try:
            self.request.recv(65536)
            self.request.sendall(b"HTTP/1.1 200 OK\r\n")
            while not self.server.over.wait(0.05):
                self.request.sendall(b"x")
        except OSError:
            pass


@pytest.fixture
def tar_pit() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _TarPit) as server:
        server.daemon_threads = True
        server.over = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.over.set()
        server.shutdown()


@pytest.mark.usefixtures("allowed")
def test_tar_pit_is_left_at_the_total_deadline(tar_pit: int) -> None:
    started = time.monotonic()
    with pytest.raises(OutboundFailed, match="in time"):
        send(f"http://127.0.0.1:{tar_pit}/", timeout=0.5)
    assert time.monotonic() - started < 3


class _Raw(socketserver.BaseRequestHandler):
    """Sends a beginning, and then the same again and again, for ever."""

    def handle(self) -> None:
        try:
            self.request.recv(65536)
            self.request.sendall(self.server.beginning)
            while not self.server.over.is_set():
                self.request.sendall(self.server.again)
        except OSError:
            pass


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("beginning", "again", "is_answer"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, True),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"1000\r\n" + b"x" * 4096 + b"\r\n",
            True,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n",
            b"x" * 65536,
            True,
        ),
        (b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"x" * 4096 + b"\r\n", False),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, False),
        (b"", b"nonsense" * 100, False),
    ],
    ids=["endless", "endless chunks", "10 MB", "headers", "continue", "nonsense"],
)
def test_endless_answer_is_cut(beginning: bytes, again: bytes, is_answer: bool) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Raw) as server:
        server.daemon_threads = True
        server.over = threading.Event()
        server.beginning, server.again = beginning, again
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        started = time.monotonic()
        if is_answer:
            assert len(send(url, timeout=5).body) == 64 * 1024
        else:
            with pytest.raises(OutboundFailed):
                send(url, timeout=2)
        assert time.monotonic() - started < 6
        server.over.set()
        server.shutdown()


class _Counting(BaseHTTPRequestHandler):
    """Keeps a connection for so many requests, and counts connections."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1
        self.left = self.server.most

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.left -= 1
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = not self.left  # and does not say so

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(("most", "connections"), [(100, 1), (1, 6), (2, 3)])
def test_session_uses_a_connection_again_while_it_is_kept(
    most: int, connections: int
) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Counting) as server:
        server.daemon_threads = True
        server.connections, server.most = 0, most
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        with outbound.Session(5) as session:
            for _ in range(6):
                assert session.post(url, b"{}", {}).status == 200
        assert server.connections == connections
        server.shutdown()


@pytest.mark.usefixtures("allowed")
def test_each_post_of_a_session_has_its_own_deadline(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_handler(
        lambda _: (time.sleep(0.3), Response())[1]
    )
    with outbound.Session(0.8) as session:
        for _ in range(4):
            assert session.post(httpserver.url_for("/"), b"{}", {}).status == 200


@pytest.mark.usefixtures("allowed")
def test_connection_that_leads_elsewhere_is_refused(httpserver: HTTPServer) -> None:
    with socket.create_connection(("127.0.0.1", httpserver.port)) as connection:
        addresses.check_peer(connection, ipaddress.ip_address("::ffff:127.0.0.1"))
        with pytest.raises(OutboundRefused):
            addresses.check_peer(connection, ipaddress.ip_address("127.0.0.2"))


@pytest.mark.usefixtures("allowed")
def test_redirect_to_loopback_is_not_followed_by_name_or_number(
    httpserver: HTTPServer,
) -> None:
    for place in ("http://localhost/", "http://2130706433/", "//127.0.0.1/", "/x"):
        httpserver.clear()
        httpserver.expect_request("/").respond_with_data("", 307, {"Location": place})
        assert send(httpserver.url_for("/")).status == 307
        assert len(httpserver.log) == 1


@pytest.mark.usefixtures("allowed")
def test_closed_port_is_a_failure() -> None:
    with pytest.raises(OutboundFailed, match="could not be called"):
        send("http://127.0.0.1:1/")


@given(st.ip_addresses())
def test_public_is_never_wider_than_the_standard_library(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if addresses.is_public(address):
        assert not address.is_private
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_multicast
