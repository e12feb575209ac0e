"""What a check may answer, and what it printed on the way."""

ANSWER_BYTES = 768 * 1024
"""Longest answer, reason and notes together. The sandbox takes 1 MiB, what was printed included."""

PRINTED_LINES = 50
PRINTED_CHARACTERS = 16 * 1024

KEYS = ("pass", "score", "reason", "notes")


class Malformed(Exception):
    """The answer is no verdict."""


def clean(text):
    """The text, without what UTF-8 cannot say."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def verdict_of(answer, name):
    """The parts of a verdict: pass, score, reason, notes. Raises `Malformed` for anything else."""
    if type(answer) is bool:
        answer = {"pass": answer}
    if not isinstance(answer, dict):
        raise Malformed(f"`check` answered {shown(answer)}, expected True, False or a dict with `pass`")
    for key in answer:
        if key not in KEYS:
            raise Malformed(f"the answer has a key {shown(key)}, expected some of {', '.join(KEYS)}")
    passed = answer.get("pass")
    if type(passed) is not bool:
        raise Malformed(f"`pass` must be True or False, `check` answered {shown(passed)}")
    score = answer.get("score", 1.0 if passed else 0.0)
    # Not a number is not between any two.
    if type(score) not in (int, float) or not 0 <= score <= 1:
        raise Malformed(f"`score` must be a number from 0 to 1, `check` answered {shown(score)}")
    reason = answer.get("reason", f"{name} says {'yes' if passed else 'no'}")
    if not isinstance(reason, str):
        raise Malformed(f"`reason` must be a str, `check` answered {shown(reason)}")
    notes = answer.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise Malformed(f"`notes` must be a list of str, `check` answered {shown(notes)}")
    size = len(reason) + sum(map(len, notes))
    if size <= ANSWER_BYTES:
        reason, notes = clean(reason), [clean(note) for note in notes]
        size = len(reason.encode()) + sum(len(note.encode()) for note in notes)
    if size > ANSWER_BYTES:
        raise Malformed(f"reason and notes take {size} bytes, at most {ANSWER_BYTES} are allowed")
    return passed, float(score), reason, notes


def shown(value):
    """A value of a stranger's in a few words."""
    kind = type(value).__name__
    if value is None:
        return "None"
    try:
        text = repr(value) if len(value) < 1000 else "…"
    except TypeError:
        text = repr(value)
    except BaseException:
        text = "…"
    return clean(f"{text[:80]} ({kind})")


class Printed:
    """Stands for stdout: keeps the first lines."""

    encoding = "utf-8"

    def __init__(self):
        self._text = []
        self._left = PRINTED_CHARACTERS
        self._cut = False

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text and self._left:
            self._text.append(text[: self._left])
            self._left -= len(self._text[-1])
            self._cut |= len(self._text[-1]) < len(text)
        else:
            self._cut |= bool(text)
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return False

    def notes(self):
        """The lines as notes, the last of which says whether there were more."""
        lines = clean("".join(self._text)).splitlines()
        notes = [line for line in lines if line.strip()]
        if self._cut or len(notes) > PRINTED_LINES:
            notes = [*notes[:PRINTED_LINES], "more was printed and is cut"]
        return notes
