"""image-header: the handed-in image is of the right format and size, by its own header.

params: file (its name; the only image-like file where it is not given), formats (list of "png", "jpeg", "gif",
"webp"; any of them where it is not given), min_width, max_width, min_height, max_height (pixels).
Reads the header only: that the rest can be decoded is not checked.
"""

import struct

FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def png(data):
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR" and len(data) >= 33:
        return struct.unpack(">II", data[16:24])


def gif(data):
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 13:
        return struct.unpack("<HH", data[6:10])


def jpeg(data):
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        if marker == 0xFF:
            at += 1
            continue
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def webp(data):
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None


READERS = {"png": png, "jpeg": jpeg, "gif": gif, "webp": webp}


def the_file(submission):
    name = submission.params.get("file")
    if name:
        return submission.file(name)
    handed_in = [file for file in submission.files if file.role == "output"]
    if len(handed_in) != 1:
        raise Fail(f"{len(handed_in)} files were handed in, expected one image")  # noqa: F821
    return handed_in[0]


def check(submission):
    file = the_file(submission)
    formats = submission.params.get("formats", list(READERS))
    for name in formats:
        if name not in READERS:
            raise ValueError(f"params.formats knows {', '.join(READERS)}, not {name!r}")
    found = [(name, size) for name in READERS if (size := READERS[name](file.bytes))]
    if not found:
        return {"pass": False, "reason": f"`{file.name}` has the header of no image"}
    name, (width, height) = found[0]
    said = f"`{file.name}` is a {name} of {width} x {height} pixels"
    if name not in formats:
        return {"pass": False, "reason": f"{said}, asked for: {', '.join(formats)}"}
    if width == 0 or height == 0:
        return {"pass": False, "reason": f"{said}: an empty image"}
    for bound, value, holds in (
        ("min_width", width, lambda limit: width >= limit),
        ("max_width", width, lambda limit: width <= limit),
        ("min_height", height, lambda limit: height >= limit),
        ("max_height", height, lambda limit: height <= limit),
    ):
        limit = submission.params.get(bound)
        if limit is not None and not holds(limit):
            return {"pass": False, "score": 0.5, "reason": f"{said}, {bound} is {limit}"}
    return {"pass": True, "reason": said}
