"""A handed-in image is of a wanted format and size, by its header. The pixels are not looked at.

params:
  file        name; `*` stands for any text, and then the first such file counts (default "*"); name the same in
              `attachments`
  formats     some of "png", "jpeg", "gif", "webp" (default: all)
  min_width, min_height, max_width, max_height   in pixels
"""

import fnmatch
import struct

FORMATS = ("png", "jpeg", "gif", "webp")
BOUNDS = ("min_width", "min_height", "max_width", "max_height")


def check(submission):
    params = submission.params
    formats = params.get("formats", list(FORMATS))
    pattern = params.get("file", "*")
    bounds = {name: params[name] for name in BOUNDS if name in params}
    if (
        set(params) - {"file", "formats", *BOUNDS}
        or not isinstance(pattern, str)
        or not isinstance(formats, list)
        or not formats
        or not all(name in FORMATS for name in formats)
        or not all(type(bound) is int and bound > 0 for bound in bounds.values())
    ):
        raise ValueError(f"params: expected `file`, `formats` of {', '.join(FORMATS)}, and pixels for {', '.join(BOUNDS)}")

    for file in submission.files:
        if file.role == "output" and fnmatch.fnmatchcase(file.name, pattern):
            break
    else:
        raise Fail(f"no image called {pattern} was handed in")

    header = header_of(file.bytes)
    if header is None:
        raise Fail(f"`{file.name}` is no image in {', '.join(FORMATS)} format, or its header is cut")
    kind, width, height = header
    said = f"`{file.name}` is a {kind} image of {width} x {height} pixels"
    if kind not in formats:
        raise Fail(f"{said}, asked for is {' or '.join(formats)}")
    sides = {"width": width, "height": height}
    for name, bound in bounds.items():
        side = sides[name[4:]]
        if (side < bound) if name.startswith("min") else (side > bound):
            raise Fail(f"{said}, {name.replace('_', ' ')} is {bound}")
    return {"pass": True, "reason": said}


def header_of(content):
    """Format, width and height, or None."""
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
            found = ("png", *struct.unpack(">II", content[16:24]))
        elif content[:6] in (b"GIF87a", b"GIF89a"):
            found = ("gif", *struct.unpack("<HH", content[6:10]))
        elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            found = ("webp", *webp_size(content))
        elif content.startswith(b"\xff\xd8\xff"):
            found = ("jpeg", *jpeg_size(content))
        else:
            return None
    except (struct.error, IndexError, ValueError):
        return None
    return found if found[1] > 0 and found[2] > 0 else None


def webp_size(content):
    """Of the three kinds of first chunk: lossy, lossless, extended."""
    kind = content[12:16]
    if kind == b"VP8 " and content[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", content[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and content[20] == 0x2F:
        (bits,) = struct.unpack("<I", content[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack("<HBHB", content[24:30])
        return (low_width | high_width << 16) + 1, (low_height | high_height << 16) + 1
    raise ValueError(kind)


def jpeg_size(content):
    """Of the first frame header."""
    at = 2
    while True:
        if content[at] != 0xFF:
            raise ValueError(at)
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
        elif marker in (0xD8, 0xD9, 0xDA):
            raise ValueError(marker)
        else:
            at += 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]
