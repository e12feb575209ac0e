"""required-files: the files that the task asks for were handed in, and none is empty.

params: files (list of names; `*` stands for any text), min_bytes (smallest size of each, default 1),
only (true: nothing else may be handed in; default false). Reads names and sizes, no contents.
Score: the share of the asked-for files that are there.
"""

from fnmatch import fnmatchcase


def check(submission):
    wanted = submission.params.get("files")
    if not isinstance(wanted, list) or not wanted:
        raise ValueError("params.files must be a list of names")
    least = submission.params.get("min_bytes", 1)
    handed_in = [file for file in submission.files if file.role == "output"]
    missing, small = [], []
    for pattern in wanted:
        found = [file for file in handed_in if fnmatchcase(file.name, pattern)]
        if not found:
            missing.append(pattern)
        elif all(file.size < least for file in found):
            small.append(pattern)
    extra = []
    if submission.params.get("only", False):
        extra = [file.name for file in handed_in if not any(fnmatchcase(file.name, one) for one in wanted)]
    troubles = [f"missing: {', '.join(missing)}"] if missing else []
    troubles += [f"smaller than {least} bytes: {', '.join(small)}"] if small else []
    troubles += [f"not asked for: {', '.join(extra)}"] if extra else []
    if troubles:
        score = (len(wanted) - len(missing) - len(small)) / len(wanted)
        return {"pass": False, "score": min(score, 0.99), "reason": "; ".join(troubles)}
    return {"pass": True, "reason": f"all {len(wanted)} files are there"}
