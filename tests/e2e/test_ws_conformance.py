# SPDX-License-Identifier: MIT
"""RFC 6455 on a raw socket, section by section, in the manner of the Autobahn test suite: whatever a client sends, every
mode treats it as the RFC asks, since it is the front that speaks the frames."""
import socket

import pytest

from harness import Bulkhead
from ws_client import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, close_payload, connect, frame, handshake)
from ws_rig import MODES, Echoes, route

PROTOCOL, NOT_TEXT, POLICY, TOO_LARGE = 1002, 1007, 1008, 1009
SMALL = 1024
MIB = 1 << 20


@pytest.fixture(scope="module")
def server():
    with Echoes() as echoes:
        routes = []
        for mode in MODES:
            routes += [route(f"/{mode}", mode), route(f"/{mode}/small", mode, {"max_message": SMALL}),
                       route(f"/{mode}/calm", mode, {"control_frames": 1})]
        with Bulkhead({"backends": echoes.backends, "routes": routes}) as b:
            yield b


@pytest.fixture(params=MODES)
def address(server, request):
    return ("127.0.0.1", server.port), f"/{request.param}"


@pytest.fixture
def ws(address):
    with connect(*address) as ws:
        ws.stream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield ws


def connect_to(address, route):
    return connect(address[0], address[1] + route)


def send_in_pieces(ws, data, size=1):
    """Each piece in a packet of its own, as far as the peer wants them."""
    try:
        for at in range(0, len(data), size):
            ws.send(data[at:at + size])
    except (BrokenPipeError, ConnectionResetError):
        pass


def assert_echo(ws, message):
    got = ws.message()
    assert type(got) is type(message) and len(got) == len(message) and got == message


def assert_alive(ws):
    ws.text("still here")
    assert_echo(ws, "still here")


def fragments(payload, cuts, opcode=TEXT):
    """The frames of one message, cut at these places."""
    ends = [*cuts, len(payload)]
    return b"".join(frame(payload[start:end], opcode if i == 0 else CONTINUATION, fin=i == len(cuts))
                    for i, (start, end) in enumerate(zip([0, *cuts], ends)))


# ---- §5.2, framing ---------------------------------------------------------------------------------------------------

SIZES = [0, 1, 125, 126, 127, 128, 65535, 65536]


@pytest.mark.parametrize("size", SIZES)
def test_messages_of_every_form_of_length(ws, size):
    ws.text("*" * size)
    assert_echo(ws, "*" * size)
    ws.binary(b"\xfe" * size)
    assert_echo(ws, b"\xfe" * size)
    ws.close()
    assert ws.end() == (1000, "", [])


@pytest.mark.parametrize("size", SIZES)
def test_frames_that_arrive_in_pieces(ws, size):
    send_in_pieces(ws, frame(b"\x00\xff" * (size // 2) + b"x" * (size % 2), BINARY), 1 if size < 1000 else 997)
    assert_echo(ws, b"\x00\xff" * (size // 2) + b"x" * (size % 2))


def test_frames_that_arrive_together(ws):
    messages = [f"number {i} " + "." * (i % 300) for i in range(100)]
    ws.send(b"".join(frame(m) for m in messages))
    for message in messages:
        assert_echo(ws, message)


@pytest.mark.parametrize("piece", [3, 131, 1000, 4099])
def test_frames_cut_where_it_suits_nobody(ws, piece):
    messages = ["." * size for size in (0, 1, 125, 126, 1000, 3000)]
    send_in_pieces(ws, b"".join(frame(m) for m in messages), piece)
    for message in messages:
        assert_echo(ws, message)


def test_the_mask_is_any_four_bytes(ws):
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\0\0\x80"):
        for size in range(9):
            ws.binary(b"abcdefgh"[:size] + b"!", mask=mask)
            assert_echo(ws, b"abcdefgh"[:size] + b"!")


@pytest.mark.parametrize("payload", [b"", b"text"])
@pytest.mark.parametrize("opcode", [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG])
def test_unmasked_frames_are_refused(ws, opcode, payload):
    ws.send_frame(payload, opcode, mask=None)
    assert ws.end().code == PROTOCOL


@pytest.mark.parametrize("size, form", [(0, 16), (125, 16), (0, 64), (125, 64), (126, 64), (65535, 64)])
def test_a_length_must_have_the_shortest_form(ws, size, form):
    ws.binary(b"x" * size, form=form)
    assert ws.end().code == PROTOCOL


@pytest.mark.parametrize("declared", [1 << 63, (1 << 64) - 1, (1 << 63) + 5])
def test_a_length_of_64_bits_has_63(ws, declared):
    ws.binary(b"hello", declared=declared)
    assert ws.end().code == PROTOCOL


@pytest.mark.parametrize("opcode", [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG])
@pytest.mark.parametrize("rsv", [1, 2, 3, 4, 5, 6, 7])
def test_reserved_bits_are_refused(ws, rsv, opcode):
    payload = close_payload(1000) if opcode == CLOSE else b"x"
    ws.send_frame(payload, opcode, rsv=rsv)
    assert ws.end().code == PROTOCOL


@pytest.mark.parametrize("payload", [b"", b"x"])
@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes_are_refused(ws, opcode, payload):
    ws.send_frame(payload, opcode)
    assert ws.end().code == PROTOCOL


def test_nothing_is_done_with_what_follows_a_violation(ws):
    ws.send(frame(b"x", 3) + frame("more") + frame(b"ping", PING))
    end = ws.end()
    assert end.code == PROTOCOL and end.frames == [] and ws.pongs == 0


# ---- §5.5.2, §5.5.3, pings and pongs ---------------------------------------------------------------------------------

@pytest.mark.parametrize("payload", [b"", b"a", bytes(range(125)), b"\xff" * 125], ids=["0", "1", "125", "125-ones"])
@pytest.mark.parametrize("piece", [1000, 1])
def test_a_pong_says_what_its_ping_said(ws, payload, piece):
    send_in_pieces(ws, frame(payload, PING), piece)
    assert ws.frame() == Frame(PONG, payload)


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("size, form", [(126, 16), (70000, 64), (125, 16)])
def test_control_frames_have_125_bytes_at_most(ws, opcode, size, form):
    ws.send_frame(close_payload(1000) + b"x" * (size - 2), opcode, form=form)
    assert ws.end().code == PROTOCOL


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("before", [b"", frame("begun", fin=False)], ids=["alone", "in-a-message"])
@pytest.mark.parametrize("behind", [b"", frame(b"", CONTINUATION)], ids=["begun", "continued"])
def test_control_frames_are_not_fragmented(ws, opcode, before, behind):
    ws.send(before + frame(close_payload(1000), opcode, fin=False) + behind)
    assert ws.end().code == PROTOCOL


def test_pongs_that_nobody_asked_for_are_ignored(ws):
    ws.send(frame(b"", PONG) + frame(b"unasked", PONG) + frame(b"x" * 125, PONG) + frame(b"ping", PING))
    assert ws.frame() == Frame(PONG, b"ping")
    assert_alive(ws)


@pytest.mark.parametrize("piece", [10000, 1])
def test_every_ping_is_answered_in_order(ws, piece):
    send_in_pieces(ws, b"".join(frame(b"%d" % i, PING) for i in range(50)), piece)
    assert [ws.frame() for _ in range(50)] == [Frame(PONG, b"%d" % i) for i in range(50)]
    assert_alive(ws)


def test_a_flood_of_pings_is_not_answered_for_ever(address):
    with connect_to(address, "/calm") as ws:
        send_in_pieces(ws, frame(b"flood", PING) * 200, 1 << 16)
        assert ws.end().code == POLICY
        assert 0 < ws.pongs < 200


# ---- §5.4, fragmentation ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cuts", [[3], [1, 2, 3, 4, 5], [0], [6], [0, 0, 3, 3, 6, 6]])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("piece", [10000, 1])
def test_fragments_are_one_message(ws, cuts, opcode, piece):
    send_in_pieces(ws, fragments(b"abcdef", cuts, opcode), piece)
    assert_echo(ws, "abcdef" if opcode == TEXT else b"abcdef")
    assert_alive(ws)


@pytest.mark.parametrize("opcode, empty", [(TEXT, ""), (BINARY, b"")])
def test_fragments_without_a_byte_are_an_empty_message(ws, opcode, empty):
    ws.send(frame(b"", opcode, fin=False) + frame(b"", CONTINUATION, fin=False) + frame(b"", CONTINUATION))
    assert_echo(ws, empty)


def test_many_fragments(ws):
    ws.send(fragments(b"x" * 3000, range(1, 3000), BINARY))
    assert_echo(ws, b"x" * 3000)


def test_pings_between_fragments_are_answered_at_once(ws):
    ws.send(frame("one ", fin=False) + frame(b"p1", PING))
    while (got := ws.frame()).opcode != PONG:  # a bridge may have echoed the fragment
        assert got == Frame(TEXT, b"one ", fin=False)
    assert got == Frame(PONG, b"p1")
    ws.send(frame(b"p2", PONG) + frame("two", CONTINUATION))
    rest = ws.data_frame()
    text = rest.payload if rest.opcode == TEXT else b"one " + rest.payload
    while not rest.fin:
        rest = ws.data_frame()
        text += rest.payload
    assert text == b"one two"


BEGUN, BEGUN_BINARY = frame("begun", TEXT, fin=False), frame("begun", BINARY, fin=False)


@pytest.mark.parametrize("sent", [
    pytest.param(frame("x", CONTINUATION), id="last-of-none"),
    pytest.param(frame("x", CONTINUATION, fin=False), id="continuation-of-none"),
    pytest.param(frame("", CONTINUATION), id="empty-last-of-none"),
    pytest.param(frame("x") + frame("x", CONTINUATION), id="last-after-whole"),
    pytest.param(BEGUN + frame("x", CONTINUATION) + frame("x", CONTINUATION), id="last-after-last"),
    pytest.param(BEGUN + frame("x"), id="text-in-text"),
    pytest.param(BEGUN + frame("x", BINARY), id="binary-in-text"),
    pytest.param(BEGUN_BINARY + frame("x"), id="text-in-binary"),
    pytest.param(BEGUN + frame("x", fin=False), id="begun-in-text"),
    pytest.param(BEGUN + frame("x", CONTINUATION, fin=False) + frame("x"), id="text-in-continued"),
    pytest.param(BEGUN + frame(b"", PING) + frame("x"), id="text-in-text-with-a-ping"),
])
@pytest.mark.parametrize("piece", [10000, 1])
def test_fragments_out_of_their_place(ws, sent, piece):
    send_in_pieces(ws, sent, piece)
    assert ws.end().code == PROTOCOL


# ---- §8.1, UTF-8 -----------------------------------------------------------------------------------------------------

VALID = ["κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "\ufeff", "\0", "\x7f\x80", "\u07ff\u0800", "\ud7ff\ue000", "\uffff\ufffe\ufdd0",
         "\U00010000", "\U0010ffff\U0001fffe", "😀😁"]
INVALID = {
    "lone continuation": b"\x80", "two of them": b"\xbf\x80", "cut 2": b"\xce", "cut 3": b"\xe2\x82", "cut 4": b"\xf0\x9f\x98",
    "cut inside": b"\xe2\x82x", "overlong slash 2": b"\xc0\xaf", "overlong slash 3": b"\xe0\x80\xaf",
    "overlong slash 4": b"\xf0\x80\x80\xaf", "overlong 2": b"\xc1\xbf", "overlong 3": b"\xe0\x9f\xbf",
    "overlong 4": b"\xf0\x8f\xbf\xbf", "overlong NUL": b"\xc0\x80", "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80", "first surrogate": b"\xed\xa0\x80", "last surrogate": b"\xed\xbf\xbf",
    "surrogate pair": b"\xed\xa0\x80\xed\xb0\x80", "past the last": b"\xf4\x90\x80\x80", "f5": b"\xf5\x80\x80\x80",
    "fe": b"\xfe", "ff": b"\xff",
}


@pytest.mark.parametrize("text", VALID, ids=[ascii(v) for v in VALID])
def test_text_cut_at_every_byte(ws, text):
    data = text.encode()
    ws.text(data)
    assert_echo(ws, text)
    for cut in range(1, len(data)):
        ws.send(fragments(data, [cut]))
        assert_echo(ws, text)
    send_in_pieces(ws, fragments(data, range(1, len(data))))
    assert_echo(ws, text)


@pytest.mark.parametrize("name", INVALID)
@pytest.mark.parametrize("around", ["alone", "behind", "before"])
def test_text_that_is_not_utf_8(ws, name, around):
    bad = INVALID[name]
    ws.text({"alone": bad, "behind": "κόσμε".encode() + bad, "before": bad + b"x" * 300}[around])
    end = ws.end()
    assert end.code == NOT_TEXT and end.frames == []


@pytest.mark.parametrize("name", INVALID)
def test_text_that_is_not_utf_8_in_fragments(address, name):
    bad = b"valid " + INVALID[name]
    for cut in range(6, len(bad) + 1):
        with connect(*address) as ws:
            send_in_pieces(ws, fragments(bad, [cut]), 10000)
            end = ws.end()
            assert end.code == NOT_TEXT and all(not f.fin for f in end.frames)


def test_binary_messages_are_any_bytes(ws):
    for data in INVALID.values():
        ws.binary(data)
        assert_echo(ws, data)
        ws.send(fragments(data, [1], BINARY))
        assert_echo(ws, data)


# ---- §7, closing -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
                                  4999])
def test_a_close_is_answered_with_its_code(ws, code):
    ws.close(code, "for a reason")
    end = ws.end()
    assert end.code == code and end.frames == []


def test_a_close_without_a_code(ws):
    ws.close(None)
    assert ws.end().code in (1005, 1000)


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_codes_that_no_close_frame_may_carry(ws, code):
    ws.close(code)
    assert ws.end().code == PROTOCOL


def test_half_a_code(ws):
    ws.sent_close = True
    ws.send_frame(b"\x03", CLOSE)
    assert ws.end().code == PROTOCOL


def test_a_reason_of_123_bytes(ws):
    ws.close(1000, "é" * 61 + "!")
    assert ws.end().code == 1000


@pytest.mark.parametrize("name", INVALID)
def test_a_reason_that_is_not_utf_8(ws, name):
    ws.close(1000, b"because " + INVALID[name])
    assert ws.end().code in (NOT_TEXT, PROTOCOL)


@pytest.mark.parametrize("piece", [10000, 1])
def test_nothing_counts_behind_a_close(ws, piece):
    ws.sent_close = True
    send_in_pieces(ws, frame(close_payload(1000), CLOSE) + frame("late") + frame(b"late", PING) +
                   frame(close_payload(3000), CLOSE) + frame(b"", 3), piece)
    assert ws.end() == (1000, "", []) and ws.pongs == 0


def test_a_close_inside_of_a_message(ws):
    ws.send(BEGUN)
    ws.close()
    assert ws.end().code == 1000


def test_a_close_in_pieces(ws):
    ws.sent_close = True
    send_in_pieces(ws, frame(close_payload(1001, "going"), CLOSE))
    assert ws.end().code == 1001


def test_messages_before_a_close_do_not_keep_it(ws):
    ws.text("on its way")
    ws.close()
    end = ws.end()
    assert end.code == 1000 and [f.payload for f in end.frames] in ([], [b"on its way"])


@pytest.mark.parametrize("sent", [b"", frame("hello")[:1], frame("hello")[:7], BEGUN, frame(b"ping", PING)[:-1]],
                         ids=["nothing", "half-a-head", "half-a-frame", "half-a-message", "half-a-ping"])
def test_a_client_that_leaves_without_a_word(server, address, sent):
    with connect(*address) as ws:
        ws.send(sent)
        ws.stream.sock.shutdown(socket.SHUT_WR)
        assert ws.end().code == 1006
    with connect(*address) as ws:
        assert_alive(ws)


# ---- limits ----------------------------------------------------------------------------------------------------------

def test_the_largest_message(ws):
    ws.binary(b"x" * MIB)
    assert_echo(ws, b"x" * MIB)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_up_to_the_limit(address, opcode):
    with connect_to(address, "/small") as ws:
        ws.send_frame("x" * SMALL, opcode)
        assert len(ws.message()) == SMALL
        ws.send(fragments(b"x" * SMALL, range(1, SMALL, 100), opcode))
        assert len(ws.message()) == SMALL
        assert_alive(ws)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("sent", [
    pytest.param(lambda opcode: frame("x" * (SMALL + 1), opcode), id="one-byte-more"),
    pytest.param(lambda opcode: frame("x" * 100000, opcode), id="much-more"),
    pytest.param(lambda opcode: frame("", opcode, declared=SMALL + 1), id="announced"),
    pytest.param(lambda opcode: frame("x", opcode, declared=(1 << 63) - 1), id="announced-as-infinite"),
    pytest.param(lambda opcode: fragments(b"x" * (SMALL + 1), [SMALL], opcode), id="in-two-fragments"),
    pytest.param(lambda opcode: fragments(b"x" * (SMALL + 1), range(1, SMALL), opcode), id="in-small-fragments"),
    pytest.param(lambda opcode: frame("x" * SMALL, opcode, fin=False) + frame("", CONTINUATION, declared=(1 << 63) - 1),
                 id="sum-of-lengths-overflows"),
])
def test_a_message_past_the_limit(address, sent, opcode):
    with connect_to(address, "/small") as ws:
        send_in_pieces(ws, sent(opcode), 1 << 17)
        assert ws.end().code == TOO_LARGE


# ---- what comes with the handshake -----------------------------------------------------------------------------------

def test_frames_in_one_piece_with_the_handshake(address):
    with connect(*address, early=frame("early") + frame(b"p", PING) + frame("bird")) as ws:
        assert_echo(ws, "early")
        assert_echo(ws, "bird")
        assert ws.pongs == 1


@pytest.mark.parametrize("cut", [1, 2, 5, 6, 8, 200])
def test_a_frame_that_begins_in_the_packet_of_the_handshake(address, cut):
    data = frame("x" * 500)
    with connect(*address, early=data[:cut]) as ws:
        ws.send(data[cut:])
        assert_echo(ws, "x" * 500)


def test_a_close_in_one_piece_with_the_handshake(address):
    with connect(*address, early=frame(close_payload(1000), CLOSE)) as ws:
        ws.sent_close = True
        assert ws.end().code == 1000


def test_more_than_fits_a_buffer_with_the_handshake(address):
    messages = ["x" * 9000 + str(i) for i in range(20)]
    with connect(*address, early=b"".join(frame(m) for m in messages)) as ws:
        for message in messages:
            assert_echo(ws, message)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", handshake(), b"\0" * 100, b"\xff" * 100,
                                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
                         ids=["request", "handshake", "zeros", "ones", "http2"])
def test_garbage_behind_the_handshake(address, garbage):
    with connect(*address, early=garbage) as ws:
        assert ws.end().code == PROTOCOL
