"""word-count: the output text has as many words as the task asks for.

params: min, max (whole numbers, at least one of them); unit ("words", or "characters" without white space at
either end; default "words"). The score falls with the distance from the nearer bound.
"""


def check(submission):
    least, most = submission.params.get("min", 0), submission.params.get("max")
    unit = submission.params.get("unit", "words")
    if unit not in ("words", "characters"):
        raise ValueError(f'params.unit must be "words" or "characters", not {unit!r}')
    if "min" not in submission.params and most is None:
        raise ValueError("params need min, max or both")
    text = submission.text.strip()
    count = len(text.split()) if unit == "words" else len(text)
    said = f"{count} {unit}"
    if count < least:
        return {"pass": False, "score": count / least, "reason": f"{said}, at least {least} are asked for"}
    if most is not None and count > most:
        # Ten times too long is no better than nothing.
        score = max(0.0, 0.99 - (count - most) / (9 * max(most, 1)))
        return {"pass": False, "score": score, "reason": f"{said}, at most {most} are asked for"}
    return {"pass": True, "reason": said}
