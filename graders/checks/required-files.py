"""The files that were asked for are handed in, and none of them is empty.

The score is the share of the wanted files that are there; one too many counts like one too few.

params:
  files  names; `*` stands for any text, and then one file of such a name is enough
  only   true: nothing else may be handed in (default false)
"""

import fnmatch


def check(submission):
    params = submission.params
    wanted, only = params.get("files"), params.get("only", False)
    named = isinstance(wanted, list) and wanted and all(isinstance(name, str) for name in wanted)
    if set(params) - {"files", "only"} or not named or type(only) is not bool:
        raise ValueError("params: expected `files`, a list of names, and `only`, true or false")

    handed_in = [file for file in submission.files if file.role == "output"]
    problems, found = [], 0
    for pattern in wanted:
        matching = [file for file in handed_in if fnmatch.fnmatchcase(file.name, pattern)]
        if not matching:
            problems.append(f"`{pattern}` is missing")
        elif all(file.size == 0 for file in matching):
            problems.append(f"`{pattern}` is empty")
        else:
            found += 1
    if only:
        for file in handed_in:
            if not any(fnmatch.fnmatchcase(file.name, pattern) for pattern in wanted):
                problems.append(f"`{file.name}` was not asked for")
    return {
        "pass": not problems,
        # A file that nobody asked for counts like one that is missing.
        "score": found / (found + len(problems)),
        "reason": "; ".join(problems) or f"{len(wanted)} of {len(wanted)} files are there",
    }
