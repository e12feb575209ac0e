// Values and errors of strangers in a few words.

const LONGEST = 2000;

// A value in a few words.
export function shown(value) {
  const kind = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  let text;
  try {
    text = kind === "string" ? JSON.stringify(value.slice(0, 80)) : `${String(value).slice(0, 80)} (${kind})`;
  } catch {
    text = kind;
  }
  return (text === `${kind} (${kind})` ? kind : text).toWellFormed();
}

// File, line, kind and message of what was thrown. `before` lines were put in front of the script.
export function describe(error, name, before) {
  try {
    if (!(error instanceof Error)) {
      return `${name}: threw ${shown(error)}`;
    }
    const line = lineOf(error);
    const place = line === undefined ? name : `${name}:${line - before}`;
    return `${place}: ${error.name}: ${error.message}`.slice(0, LONGEST).toWellFormed();
  } catch {
    return `${name}: threw an error that cannot be described`;
  }
}

// The line within the text that `new Function` was given: the first frame of it. Where it cannot be read there is no
// such frame, and the error's own line is the one.
function lineOf(error) {
  const frame = /> Function:(\d+)/.exec(error.stack ?? "");
  if (frame !== null) {
    return Number(frame[1]);
  }
  return error instanceof SyntaxError ? error.lineNumber : undefined;
}
