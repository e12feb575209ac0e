"""What a check is given: a submission and its files.

A check is a file with one function:

    def check(submission):
        if len(submission.text.split()) < 100:
            return {"pass": False, "score": 0.5, "reason": "fewer than 100 words"}
        return True

It answers `True` or `False`, or a dict with `pass` (bool), and if it likes `score` (0 to 1; 1 or 0 when left
out), `reason` (str, which the agent may read) and `notes` (list of str, for the operator). What it prints
becomes notes too. It may also `raise Fail("reason")`, a name that is always there, to fail the submission.

An exception is an error of the check: a person looks at it, and the agent loses nothing. So that a broken
hand-in does not look like a broken check, asking for a file that was not handed in, or for the text of one
that is not UTF-8, raises `Fail`.
"""

__all__ = ["Fail", "File", "Submission"]


class Fail(Exception):
    """The submission fails, with this reason."""


class File:
    """One attachment."""

    __slots__ = ("name", "content_type", "size", "sha256", "role", "_content")

    def __init__(self, name, content_type, size, sha256, role, content):
        self.name = name
        """Cleaned file name, without folders."""
        self.content_type = content_type
        """Media type as stated by whoever attached it, or None. Not verified."""
        self.size = size
        """Size in bytes."""
        self.sha256 = sha256
        """Digest of the content, 64 hexadecimal digits."""
        self.role = role
        """`"output"` where the agent handed it in, `"input"` where the sender gave it."""
        self._content = content

    def __repr__(self):
        return f"<File {self.name!r}, {self.size} bytes, {self.role}>"

    @property
    def has_bytes(self):
        """Whether the check was given the content."""
        return self._content is not None

    @property
    def bytes(self):
        """The content. An error of the plan where the check was not given it."""
        if self._content is None:
            raise ValueError(
                f"the check was not given the bytes of `{self.name}`:"
                " name it in `attachments` of the plan, or raise `max_bytes`"
            )
        return self._content

    def text(self):
        """The content as UTF-8. A handed-in file that is not UTF-8 fails the submission."""
        content = self.bytes
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            reason = f"`{self.name}` is not UTF-8 text: byte {error.start} cannot be read"
        raise Fail(reason) if self.role == "output" else ValueError(reason)


class Submission:
    """What was handed in at one attempt, with the job that it answers."""

    __slots__ = (
        "job_id",
        "attempt",
        "title",
        "prompt",
        "description",
        "requirements",
        "text",
        "files",
        "params",
    )

    def __init__(self, job_id, attempt, title, prompt, description, requirements, text, files, params):
        self.job_id = job_id
        """Id of the job."""
        self.attempt = attempt
        """Number of the attempt, different for each hand-in of one job."""
        self.title = title
        """Title of the job."""
        self.prompt = prompt
        """What the sender asked for."""
        self.description = description
        """The sender's description, or None."""
        self.requirements = requirements
        """The sender's requirements, or None."""
        self.text = text
        """The text that was handed in, empty when there was none."""
        self.files = files
        """All attachments, those of the agent first."""
        self.params = params
        """The `params` of the plan, a dict."""

    def __repr__(self):
        return f"<Submission of {self.job_id!r}, {len(self.text)} characters, {len(self.files)} files>"

    def file(self, name, role="output"):
        """The file of that name. One that was not handed in fails the submission."""
        for file in self.files:
            if file.name == name and file.role == role:
                return file
        if role == "output":
            raise Fail(f"`{name}` was not handed in")
        raise LookupError(f"the job has no {role} `{name}`")
