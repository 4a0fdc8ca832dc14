import json
import re

from temzoo.pages.html import data_uri, json_block, text


def test_text_escapes_tags_quotes_surrogates_and_nul():
    assert text('<a href="x">\'&') == "&lt;a href=&quot;x&quot;&gt;&#x27;&amp;"
    assert text("a\udcffb\0c") == "a?b\ufffdc"
    assert text(12) == "12"


def test_data_uri_holds_the_bytes():
    assert data_uri(b"\x00\xff", "image/png") == "data:image/png;base64,AP8="


def test_json_block_cannot_be_ended_by_its_content_and_reads_back():
    content = {"name": "</script><!-- ü \udcff &", "n": 1.5}
    block = json_block("data", content)
    inside = re.fullmatch(r'<script type="application/json" id="data">(.*)</script>', block)[1]
    assert "<" not in inside
    assert ">" not in inside
    assert json.loads(inside) == content
    block.encode("utf-8")
