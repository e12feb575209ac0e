"""The text has as many words as was asked for.

What is between white space is a word.

params:
  min   fewest words (default 0)
  max   most words (default: no limit)
  file  count the words of this handed-in file instead of the text (name it in `attachments`)
"""


def check(submission):
    params = submission.params
    unknown = set(params) - {"min", "max", "file"}
    least, most = params.get("min", 0), params.get("max")
    if unknown or type(least) is not int or (most is not None and (type(most) is not int or most < least)):
        raise ValueError("params: expected whole numbers `min` and `max`, `min` not above `max`, and `file`")

    text = submission.file(params["file"]).text() if "file" in params else submission.text
    words = len(text.split())
    if words < least:
        return {"pass": False, "score": words / least, "reason": f"{words} words, at least {least} are asked for"}
    if most is not None and words > most:
        return {"pass": False, "score": most / words, "reason": f"{words} words, at most {most} are asked for"}
    return {"pass": True, "reason": f"{words} words"}
