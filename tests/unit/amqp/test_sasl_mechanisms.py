"""SCRAM-SHA-256, DIGEST-MD5 and CRAM-MD5: the RFCs' examples, both halves against each other, and lies."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_messaging.amqp.sasl import Accepted, Challenge, Mechanism, SASLError, ServerMechanism
from qpid_messaging.amqp.sasl.cram_md5 import CramMD5, CramServer
from qpid_messaging.amqp.sasl.digest_md5 import DigestMD5, DigestServer, digest_secret
from qpid_messaging.amqp.sasl.saslprep import saslprep
from qpid_messaging.amqp.sasl.scram import ScramKeys, ScramServer, ScramSHA256, derive_keys

NAMES = ["user", "ann,=3D", "Jürgen", "日本", 'q"uo\\te', "a b"]
KEYS = {name: derive_keys("pencil", b"salt" * 4, 4096) for name in NAMES}
NOBODY = ScramKeys(4096, b"?" * 16, b"?" * 32, b"?" * 32)
CLIENTS: dict[str, Callable[[str, str], Mechanism]] = {
    "SCRAM-SHA-256": ScramSHA256,
    "DIGEST-MD5": lambda name, password: DigestMD5(name, password, "qpidd", "localhost"),
    "CRAM-MD5": CramMD5,
}
SERVERS: dict[str, Callable[[], ServerMechanism]] = {
    "SCRAM-SHA-256": lambda: ScramServer(lambda name: KEYS.get(name, NOBODY)),
    "DIGEST-MD5": lambda: DigestServer(
        "QPID", lambda name: digest_secret(name, "QPID", "pencil") if name in NAMES else None
    ),
    "CRAM-MD5": lambda: CramServer("QPID", lambda name: b"pencil" if name in NAMES else None),
}
each_mechanism = pytest.mark.parametrize("mechanism", CLIENTS)


def authenticate(client: Mechanism, server: ServerMechanism) -> str:
    """Let both halves talk; returns whom the server takes the client for."""
    outcome = server.respond(client.initial())
    for _ in range(5):
        if isinstance(outcome, Accepted):
            client.finish()
            return outcome.username
        outcome = server.respond(client.respond(outcome.data))
    raise AssertionError("they do not come to an end")


def test_rfc_7677_scram_example() -> None:
    client = ScramSHA256("user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    keys = derive_keys("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    server = ScramServer({"user": keys}.__getitem__, server_nonce)
    assert client.initial() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    first = server.respond(client.initial())
    assert first == Challenge(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    assert isinstance(first, Challenge)
    final = client.respond(first.data)
    assert final == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    last = server.respond(final)
    assert last == Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert isinstance(last, Challenge)
    with pytest.raises(SASLError, match="did not show"):
        client.finish()
    assert client.respond(last.data) == b""
    client.finish()
    assert server.respond(b"") == Accepted("user")


def test_rfc_2195_cram_example() -> None:
    client = CramMD5("tim", "tanstaaftanstaaf")
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    response = b"tim b913a602c7eda7a495b4e6e7334d3890"
    assert client.initial() == b""
    assert client.respond(challenge) == response
    server = CramServer("postoffice.reston.mci.net", {"tim": b"tanstaaftanstaaf"}.get, "1896.697170952")
    assert server.respond(b"") == Challenge(challenge)
    assert server.respond(response) == Accepted("tim")


def test_rfc_2831_digest_example() -> None:
    client = DigestMD5("chris", "secret", "imap", "elwood.innosoft.com", "OA6MHXh6VqTrRk")
    challenge = b'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8'
    response = client.respond(challenge)
    assert b"response=d388dad90d4bbd760a152321f2143af7" in response
    assert b'digest-uri="imap/elwood.innosoft.com"' in response
    secret = digest_secret("chris", "elwood.innosoft.com", "secret")
    server = DigestServer("elwood.innosoft.com", {"chris": secret}.get, "OA6MG9tEQGm2hh")
    server.respond(b"")
    proof = server.respond(response)
    assert proof == Challenge(b"rspauth=ea40f60335c427b5527b84dbabcdfffd")
    with pytest.raises(SASLError, match="did not show"):
        client.finish()
    assert client.respond(b"rspauth=ea40f60335c427b5527b84dbabcdfffd") == b""
    client.finish()
    assert server.respond(b"") == Accepted("chris")


def test_rfc_4013_examples() -> None:
    assert saslprep("I\u00adX") == "IX"
    assert saslprep("user") == "user"
    assert saslprep("USER") == "USER"
    assert saslprep("\u00aa") == "a"
    assert saslprep("\u2168") == "IX"
    assert saslprep("a\u00a0b") == "a b"
    for prohibited in ("\u0007", "\u0627\u0031", "a\ud800"):
        with pytest.raises(SASLError):
            saslprep(prohibited)


@each_mechanism
@pytest.mark.parametrize("name", NAMES)
def test_the_two_halves_agree(mechanism: str, name: str) -> None:
    assert authenticate(CLIENTS[mechanism](name, "pencil"), SERVERS[mechanism]()) == name


@each_mechanism
@pytest.mark.parametrize(("name", "password"), [("user", "pen"), ("user", ""), ("nobody", "pencil"), ("nobody", "")])
def test_wrong_passwords_and_names_sound_the_same(mechanism: str, name: str, password: str) -> None:
    with pytest.raises(SASLError, match=r"no such user.* or a wrong password"):
        authenticate(CLIENTS[mechanism](name, password), SERVERS[mechanism]())


def test_scram_equal_looking_passwords_are_equal() -> None:
    keys = derive_keys("Ⅸ\u00ad", b"0123456789abcdef", 4096)
    assert authenticate(ScramSHA256("user", "IX"), ScramServer({"user": keys}.__getitem__)) == "user"


def test_a_broker_that_does_not_know_the_password_is_found_out() -> None:
    other = derive_keys("other", b"0123456789abcdef", 4096)
    client = ScramSHA256("user", "pencil")
    server = ScramServer({"user": other}.__getitem__)
    first = server.respond(client.initial())
    assert isinstance(first, Challenge)
    client.respond(first.data)
    with pytest.raises(SASLError, match="does not know"):
        client.respond(b"v=" + b64encode(b"x" * 32))
    digest = DigestMD5("user", "pencil", "qpidd", "localhost")
    digest.respond(b'nonce="x",algorithm=md5-sess')
    with pytest.raises(SASLError, match="does not know"):
        digest.respond(b"rspauth=00000000000000000000000000000000")


@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        (b"r=other,s=QUJD,i=4096", "another nonce"),
        (b"r=abc,s=QUJD,i=4096", "another nonce"),
        (b"r=abcdef,s=QUJD,i=4095", "iterations"),
        (b"r=abcdef,s=QUJD,i=99999999999999999999", "iterations"),
        (b"r=abcdef,s=QUJD,i=-1", "iterations"),
        ("r=abcdef,s=QUJD,i=٤٠٩٦".encode(), "iterations"),
        (b"r=abcdef,s=!!,i=4096", "base64"),
        ("r=abcdef,s=ü,i=4096".encode(), "base64"),
        (b"s=QUJD,r=abcdef,i=4096", "not a message"),
        (b"", "not a message"),
        (b"\xff", "UTF-8"),
        (b"e=other-error", "other-error"),
    ],
)
def test_hostile_scram_challenges(challenge: bytes, said: str) -> None:
    with pytest.raises(SASLError, match=said):
        ScramSHA256("user", "pencil", "abc").respond(challenge)


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"p=tls-unique,,n=user,r=abc",
        b"n,a=ann,n=user,r=abc",
        b"n,,n=user",
        b"n,,n=us=er,r=abc",
        b"n,,n=user,r=",
        b"n,,m=what,n=user,r=abc",
        b"\xff",
        "n,,n=\u0007,r=abc".encode(),
    ],
)
def test_hostile_first_scram_responses(response: bytes) -> None:
    with pytest.raises(SASLError):
        SERVERS["SCRAM-SHA-256"]().respond(response)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (b"c=biws", b"c=eSws"),
        (b"c=biws", b"c="),
        (b"r=", b"r=x"),
        (b"p=....", b"p="),
        (b"p=.", b"p="),
        (b",p=.*", b""),
        (b",p=", b",x=1,p="),
    ],
)
def test_a_changed_final_scram_response(pattern: bytes, replacement: bytes) -> None:
    client, server = ScramSHA256("user", "pencil"), SERVERS["SCRAM-SHA-256"]()
    first = server.respond(client.initial())
    assert isinstance(first, Challenge)
    final = client.respond(first.data)
    changed = re.sub(pattern, replacement, final, count=1)
    assert changed != final
    with pytest.raises(SASLError):
        server.respond(changed)


@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        (b"", "missing"),
        (b'nonce="x",algorithm=md5-sess,qop="auth-conf"', "security layer"),
        (b'nonce="x",algorithm=md5', "algorithm"),
        (b'nonce="x",nonce="y",algorithm=md5-sess', "more than once"),
        (b'nonce="x', "not a list"),
        (b"nonce=x" + b"y" * 3000, "more than 2048"),
        (b'charset=utf-8,nonce="\xff",algorithm=md5-sess', "it is not"),
    ],
)
def test_hostile_digest_challenges(challenge: bytes, said: str) -> None:
    with pytest.raises(SASLError, match=said):
        DigestMD5("user", "pencil", "qpidd", "localhost").respond(challenge)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (b"nc=00000001", b"nc=00000002"),
        (b"qop=auth", b"qop=auth-int"),
        (b'realm="QPID"', b'realm="OTHER"'),
        (b"nonce=", b"nonce=x"),
        (b'cnonce="[^"]*"', b'cnonce=""'),
        (b"response=....", b"response=zzzz"),
        (b"response=[^,]*", b"response=\xff"),
        (b'digest-uri="[^"]*"', b'digest-uri="x"'),
        (b"$", b",authzid=root"),
        (b"$", b',username="user"'),
    ],
)
def test_a_changed_digest_response(pattern: bytes, replacement: bytes) -> None:
    client, server = CLIENTS["DIGEST-MD5"]("user", "pencil"), SERVERS["DIGEST-MD5"]()
    challenge = server.respond(b"")
    assert isinstance(challenge, Challenge)
    with pytest.raises(SASLError):
        server.respond(re.sub(pattern, replacement, client.respond(challenge.data), count=1))


def test_a_digest_with_latin_1_only() -> None:
    client = DigestMD5("Jürgen", "pencil", "qpidd", "localhost", "x")
    assert b"J\xfcrgen" in client.respond(b'realm="QPID",nonce="n",algorithm=md5-sess')
    with pytest.raises(SASLError, match="8859-1"):
        DigestMD5("日本", "pencil", "qpidd", "localhost").respond(b'nonce="n",algorithm=md5-sess')


@each_mechanism
def test_nothing_more_is_said_afterwards(mechanism: str) -> None:
    client, server = CLIENTS[mechanism]("user", "pencil"), SERVERS[mechanism]()
    authenticate(client, server)
    with pytest.raises(SASLError, match="no challenge"):
        client.respond(b"once more")


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
pieces = st.lists(
    st.sampled_from([b"r=", b"s=", b"i=4096", b",", b"n,,", b"n=", b'"', b"\\", b"nonce=", b"algorithm=md5-sess", b"=",
                     b"rspauth=", b"charset=utf-8", b"p=", b"v=", b"c=biws", b"username=", b" ", b"user", b"\xff"])
    | st.binary(max_size=6),
    max_size=12,
).map(b"".join)  # fmt: skip


@each_mechanism
@given(messages=st.lists(pieces, min_size=1, max_size=3))
def test_anything_but_the_right_thing_is_a_sasl_error(mechanism: str, messages: list[bytes]) -> None:
    client, server = CLIENTS[mechanism]("user", "pencil"), SERVERS[mechanism]()
    client.initial()
    try:
        for message in messages:
            client.respond(message)
    except SASLError:
        pass
    try:
        for message in messages:
            assert not isinstance(server.respond(message), Accepted)
    except SASLError:
        pass


@each_mechanism
@given(name=text, password=text)
def test_any_name_and_password_come_in_or_are_no_names_and_passwords(mechanism: str, name: str, password: str) -> None:
    try:
        keys = derive_keys(password, b"0123456789abcdef", 4096)
        client = CLIENTS[mechanism](name, password)
    except SASLError:
        return
    server: ServerMechanism
    if mechanism == "SCRAM-SHA-256":
        server = ScramServer({saslprep(name): keys}.__getitem__)
        name = saslprep(name)
        if not name:
            return
    elif mechanism == "DIGEST-MD5":
        server = DigestServer("QPID", {name: digest_secret(name, "QPID", password)}.get)
    else:
        server = CramServer("QPID", {name: password.encode()}.get)
    assert authenticate(client, server) == name
