"""The handed-in text files are clean: valid UTF-8, no byte order mark, no control characters.

Tab, line feed and carriage return are fine. Without `files` all handed-in files are looked at, of which there must
be one.

params:
  files  names; `*` stands for any text (default ["*"]); name the same in `attachments`
"""

import fnmatch


def check(submission):
    patterns = submission.params.get("files", ["*"])
    if set(submission.params) - {"files"} or not isinstance(patterns, list) or not all(
        isinstance(pattern, str) for pattern in patterns
    ):
        raise ValueError("params: expected `files`, a list of names")

    files = [
        file
        for file in submission.files
        if file.role == "output" and any(fnmatch.fnmatchcase(file.name, pattern) for pattern in patterns)
    ]
    if not files:
        raise Fail(f"no file called {' or '.join(patterns)} was handed in")
    problems = [problem for file in files if (problem := problem_of(file))]
    return {
        "pass": not problems,
        "score": 1 - len(problems) / len(files),
        "reason": "; ".join(problems) or f"{len(files)} clean text files",
    }


def problem_of(file):
    """What is wrong with a file, if anything."""
    content = file.bytes
    if content.startswith(b"\xef\xbb\xbf"):
        return f"`{file.name}` begins with a byte order mark"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f"`{file.name}`:{line}: byte {error.start} is not UTF-8"
    for at, character in enumerate(text):
        code = ord(character)
        if (code < 32 and character not in "\t\n\r") or 127 <= code < 160:
            line = text.count("\n", 0, at) + 1
            return f"`{file.name}`:{line}: control character U+{code:04X}"
    return None
