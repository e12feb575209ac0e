"""utf8-text: the handed-in text files are UTF-8 without control characters.

params: files (list of names; every handed-in file whose bytes the plan shows, where it is not given),
bom (true: a byte order mark is allowed; default false), min_bytes (default 1).
"""


def trouble(file, bom_allowed, least):
    if file.size < least:
        return f"`{file.name}` has {file.size} bytes, at least {least} are asked for"
    text = file.text()
    if text.startswith("\ufeff") and not bom_allowed:
        return f"`{file.name}` begins with a byte order mark"
    for number, line in enumerate(text.split("\n"), 1):
        for char in line.rstrip("\r"):
            if (char < " " and char != "\t") or "\x7f" <= char <= "\x9f":
                return f"`{file.name}` holds the control character U+{ord(char):04X} in line {number}"
    return None


def check(submission):
    names = submission.params.get("files")
    if names is None:
        files = [file for file in submission.files if file.role == "output" and file.has_bytes]
        if not files:
            return {"pass": False, "reason": "no text file was handed in"}
    else:
        files = [submission.file(name) for name in names]
    bom, least = submission.params.get("bom", False), submission.params.get("min_bytes", 1)
    found = [text for file in files if (text := trouble(file, bom, least))]
    if found:
        score = (len(files) - len(found)) / len(files)
        return {"pass": False, "score": score, "reason": "; ".join(found[:3])}
    return {"pass": True, "reason": f"{len(files)} text files in UTF-8"}
