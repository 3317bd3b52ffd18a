"""No two parsers read another host, port or scheme of a URL that we call."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import url

PIECES = st.sampled_from(
    ("h", "a.b", "127.0.0.1", "127.1", "0x7f000001", "0177", "2130706433", "[::1]",
     "[::ffff:1.2.3.4]", "xn--exmple-cua", "xn--", "exämple", "ß", "ς", "ﬁ", "\uff11", "٣",
     "\u200d", "\xad", "。", "\uff0e", ".", "@", "u:p@", ":", ":80", ":443", ":0", ":080",
     ":65536", ":٣", "/", "//", "\\", "?", "#", ";", "%", "%41", "%2f", "%00", "%40", "_", "-",
     "--", "..", " ", "\t", "\n", "\r", "\0", "[", "]", "|", "^")
)  # fmt: skip
STARTS = st.sampled_from(
    ("http://", "https://", "HTTP://", "http:", "http:/", "http:\\\\", "//", "/", "")
)


@given(STARTS, st.lists(PIECES, max_size=6))
def test_whoever_reads_a_url_reads_what_we_call(start: str, pieces: list[str]) -> None:
    url.check((start + "".join(pieces)).encode(errors="surrogatepass"))


@given(STARTS, st.text(max_size=12))
def test_whatever_text_is_a_url_is_read_alike(start: str, text: str) -> None:
    url.check((start + text).encode(errors="surrogatepass"))
