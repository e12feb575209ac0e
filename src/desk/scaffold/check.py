"""{{name}}: the text has at least `min_words` words (params: `min_words`, 5 where the plan does not say).

`submission` has `text`, `files` (each with `name`, `size`, `bytes`, `text()`), `title`, `prompt` and `params`, the plan's
own table. Answer True or False, or a dict with `pass`, and where they help `score` (0 to 1), `reason` (the agent
reads it) and `notes` (a list for the operator). What is printed becomes notes as well.
"""


def check(submission):
    wanted = submission.params.get("min_words", 5)
    words = len(submission.text.split())
    if words < wanted:
        return {"pass": False, "score": words / wanted, "reason": f"{words} words, expected at least {wanted}"}
    return {"pass": True, "reason": f"{words} words"}
