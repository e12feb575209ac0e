"""Runs a check of Python text: the world `script-runtime` of graders/wit.

`submission.py` is what authors see, `available.py` what they may import, `answer.py` what they may answer.
"""

import builtins
import gc
import json
import sys

import available
from answer import Malformed, Printed, clean, verdict_of
from componentize_py_types import Err
from submission import Fail, File, Submission
from wit_world import Problem_Failed, Problem_Malformed
from wit_world.imports.types import Role, Verdict

available.load()

DEPTH = 400
"""Calls within each other that a script may have; the stack of the guest has room for more."""


UNREADABLE = "\ud800"
"""Begins the name under which a script is compiled, which so can be no file's: for a syntax error Python would open the
file of that name to show the line, and there is nothing that could be opened."""


class WitWorld:
    """The component's exports."""

    def run(self, script, s):
        printed = Printed()
        sys.stdout = sys.stderr = printed
        try:
            answer = judge(script, s)
            passed, score, reason, notes = verdict_of(answer, script.name)
        except Fail as fail:
            passed, score, reason, notes = False, 0.0, clean(str(fail)), []
        except Malformed as problem:
            raise Err(Problem_Malformed(f"{script.name}: {problem}"))
        except BaseException as error:
            # SystemExit and KeyboardInterrupt too: there is nobody else to end or interrupt.
            raise Err(Problem_Failed(clean(describe(error, script.name))))
        return Verdict(passed, score, reason, printed.notes() + notes)


def judge(script, s):
    """What the script's `check` answers."""
    code = compile(script.source, UNREADABLE + script.name, "exec", dont_inherit=True)
    names = {**builtins.__dict__, "__import__": available.guarded_import, "Fail": Fail}
    scope = {"__builtins__": names, "__name__": "check", "__file__": script.name}
    exec(code, scope)
    check = scope.get("check")
    if not callable(check):
        raise Malformed("there is no function `check`: write `def check(submission):`")
    return check(submission_of(s))


def submission_of(s):
    """The submission as authors see it."""
    files = [
        File(
            file.name,
            file.content_type,
            file.size,
            file.sha256,
            "output" if file.role == Role.OUTPUT else "input",
            file.content,
        )
        for file in s.files
    ]
    return Submission(
        s.job_id,
        s.attempt,
        s.title,
        s.prompt,
        s.description,
        s.requirements,
        s.output_text,
        files,
        json.loads(s.params),
    )


def describe(error, name):
    """File, line, kind and message of an exception."""
    line = None
    inside = UNREADABLE + name
    if isinstance(error, SyntaxError) and error.filename == inside:
        line = error.lineno
        message = error.msg
    else:
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == inside:
                line = trace.tb_lineno
            trace = trace.tb_next
        try:
            message = str(error)
        except BaseException:
            message = "an exception whose text cannot be made"
    place = name if line is None else f"{name}:{line}"
    return f"{place}: {type(error).__name__}: {message[:2000]}".removesuffix(": ")


sys.setrecursionlimit(DEPTH)
# What is here now stays for good: a collection that looked at it would copy every page of it, in each run.
gc.collect()
gc.freeze()
