// What a check is given: a submission and its files.

// The submission fails, with this reason.
export class Fail extends Error {
  constructor(reason) {
    super(reason);
    this.name = "Fail";
    this.reason = `${reason}`;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// One attachment.
class File {
  #content;

  constructor(file) {
    // Cleaned file name, without folders.
    this.name = file.name;
    // Media type as stated by whoever attached it, or null. Not verified.
    this.contentType = file.contentType ?? null;
    // Size in bytes.
    this.size = Number(file.size);
    // Digest of the content, 64 hexadecimal digits.
    this.sha256 = file.sha256;
    // "output" where the agent handed it in, "input" where the sender gave it.
    this.role = file.role;
    // The array that comes in belongs to the bindings' own realm, where `instanceof Uint8Array` does not hold.
    const { buffer, byteOffset, length } = file.content ?? {};
    this.#content = buffer && new Uint8Array(buffer, byteOffset, length);
  }

  // Whether the check was given the content.
  get hasBytes() {
    return this.#content !== undefined;
  }

  // The content, a Uint8Array. An error of the plan where the check was not given it.
  get bytes() {
    if (this.#content === undefined) {
      throw new Error(
        `the check was not given the bytes of \`${this.name}\`: ` +
          "name it in `attachments` of the plan, or raise `max_bytes`",
      );
    }
    return this.#content;
  }

  // The content as UTF-8. A handed-in file that is not UTF-8 fails the submission.
  text() {
    const bytes = this.bytes;
    try {
      return decoder.decode(bytes);
    } catch {
      const reason = `\`${this.name}\` is not UTF-8 text`;
      throw this.role === "output" ? new Fail(reason) : new Error(reason);
    }
  }
}

// What was handed in at one attempt, with the job that it answers.
class Submission {
  constructor(submission) {
    // Id of the job, and number of the attempt: different for each hand-in of one job.
    this.jobId = submission.jobId;
    this.attempt = submission.attempt;
    // Title of the job, and what the sender asked for.
    this.title = submission.title;
    this.prompt = submission.prompt;
    // The sender's description and requirements, or null.
    this.description = submission.description ?? null;
    this.requirements = submission.requirements ?? null;
    // The text that was handed in, empty when there was none.
    this.text = submission.outputText;
    // All attachments, those of the agent first.
    this.files = submission.files.map((file) => new File(file));
    // The `params` of the plan, an object.
    this.params = JSON.parse(submission.params);
  }

  // The file of that name. One that was not handed in fails the submission.
  file(name, role = "output") {
    const file = this.files.find((file) => file.name === name && file.role === role);
    if (file !== undefined) {
      return file;
    }
    if (role === "output") {
      throw new Fail(`\`${name}\` was not handed in`);
    }
    throw new Error(`the job has no ${role} \`${name}\``);
  }
}

// The submission as authors see it.
export function submissionOf(submission) {
  return new Submission(submission);
}
