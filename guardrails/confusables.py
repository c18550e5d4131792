"""Characters that look like others, and those that nobody sees.

Only what NFKC does not settle already: fullwidth, mathematical, circled and superscript letters are not here.
"""

from __future__ import annotations

_PAIRS = (
    ("АВЕЅІЈКМНОРСТУХҮԌԚԜѴӀҺЁЇ", "ABESIJKMHOPCTYXYGQWVIHEI"),  # Cyrillic capitals
    ("аеорсухіјѕһԁԛԝӏѵкпгьтвнмёїү", "aeopcyxijshdqwlvknrbtbhmeiy"),  # Cyrillic small
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ", "ABEZHIKMNOPTYXC"),  # Greek capitals
    ("αγεικνορτυχωϲϳσ", "ayeikvoptuxwcjo"),  # Greek small
    ("օսհոցզՕՍԼՏյք", "ouhngqOULSjf"),  # Armenian
    ("ᎠᎡᎢᎪᎫᎬᎳᎷᎻᏀᏃᏎᏏᏒᏔᏚᏞᏟᏢᏦᏴ", "DRTAJEWMHGZ4bRWSLCPKB"),  # Cherokee
    ("ꓐꓑꓓꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓤꓦꓪꓫꓬꓮꓰꓲꓳꓴꓔꓧ", "BPDGKJCZFMNLSRRVWXYAEIOUTH"),  # Lisu
    (
        "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢɑɡɩıȷɾᴑɓɗƙʋɛ",
        "abcdefghijklmnoprstuvwyzagiijrobdkve",
    ),  # small capitals and phonetic letters
    ("øłđħŧƀɨØŁĐĦŦƗɵ", "oldhtbiOLDHTIo"),  # strokes
    ("‐‑‒–—―−﹘⁃", "---------"),  # hyphens and dashes
    ("‘’‚‛′ʼʹ“”„‟″", "'''''''" + '"""""'),  # quotes
    ("⁄∕⧸․ꓸ۔·∶ː꞉", "///....:::"),  # slashes, dots, colons
    ("∗＊꞊∼", "**=~"),  # asterisks, equals, at
)

LOOK_ALIKES: dict[str, str] = {
    other: latin for others, latins in _PAIRS for other, latin in zip(others, latins, strict=True)
}
"""A character of another script, and the ASCII character that it is taken for."""

INVISIBLE = frozenset(
    chr(code)
    for first, last in (
        (0x00AD, 0x00AD),  # soft hyphen
        (0x034F, 0x034F),  # grapheme joiner
        (0x061C, 0x061C),
        (0x115F, 0x1160),  # Hangul fillers
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x200B, 0x200F),  # zero width, direction marks
        (0x202A, 0x202E),  # bidi embeddings and overrides
        (0x2060, 0x206F),  # word joiner, invisible operators, bidi isolates
        (0x2800, 0x2800),  # Braille blank
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),  # variation selectors
        (0xFEFF, 0xFEFF),
        (0xFFA0, 0xFFA0),
        (0xFFF9, 0xFFFB),
        (0x1BCA0, 0x1BCA3),
        (0x1D173, 0x1D17A),
    )
    for code in range(first, last + 1)
)
"""Besides these, U+E0000 to U+E0FFF: tags, and the rest of the variation selectors."""
