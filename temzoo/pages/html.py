"""Text from files as HTML, safely; and bytes and data that an HTML file carries within itself."""

from __future__ import annotations

import base64
import json
from html import escape
from typing import Any


def text(plain: Any) -> str:
    """Plain text for an HTML page, between tags or inside a quoted attribute.

    Example:
        >>> text('<b> & "c"')
        '&lt;b&gt; &amp; &quot;c&quot;'
    """
    # Surrogates, which file names may carry, are no valid UTF-8; NUL is no valid HTML.
    return escape(str(plain).replace("\0", "�").encode("utf-8", "replace").decode("utf-8"))


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as an address that holds them.

    Args:
        data: of the file.
        kind: its media type, such as "image/png".
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def json_block(name: str, content: Any) -> str:
    """A block of data that a page's script reads by its id; no text in it can end the block.

    Args:
        name: the id.
        content: what JSON can hold, without NaN.
    """
    # ASCII alone: a lone surrogate of a file's name stays an escape and the page valid UTF-8.
    data = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="{text(name)}">{data}</script>'
