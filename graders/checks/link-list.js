// The text is a list of links: each line that is not empty is an http or https address, none of them twice.
//
// Addresses count as the same when they differ in the case of scheme and host, in a `/` at the end, or in what follows a
// `#`. Whether anything answers there is not looked at: a check has no network.
//
// params:
//   min   fewest links (default 1)
//   max   most links (default: no limit)
//   file  the handed-in file to look at instead of the text (name it in `attachments`)

const ADDRESS = /^(https?):\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?([/?#]\S*)?$/i;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
const PROBLEMS = 20;

function check(submission) {
  const { min = 1, max = Infinity, file, ...unknown } = submission.params;
  const counts = [min, max].every((count) => count === Infinity || (Number.isInteger(count) && count >= 0));
  if (Object.keys(unknown).length > 0 || !counts || min > max || (file !== undefined && typeof file !== "string")) {
    throw new Error("params: expected whole numbers `min` and `max`, `min` not above `max`, and `file`");
  }

  const text = file === undefined ? submission.text : submission.file(file).text();
  const seen = new Map();
  const problems = [];
  let links = 0;
  text.split("\n").forEach((raw, index) => {
    const line = raw.trim();
    if (line === "") {
      return;
    }
    links += 1;
    const address = normal(line);
    if (address === undefined) {
      problems.push(`line ${index + 1} is no http or https address`);
    } else if (seen.has(address)) {
      problems.push(`line ${index + 1} is the same as line ${seen.get(address)}`);
    } else {
      seen.set(address, index + 1);
    }
  });
  if (links < min) {
    problems.push(`${links} links, at least ${min} are asked for`);
  }
  if (links > max) {
    problems.push(`${links} links, at most ${max} are asked for`);
  }
  if (problems.length === 0) {
    return { pass: true, reason: `${links} links` };
  }
  const more = problems.length > PROBLEMS ? `; ${problems.length - PROBLEMS} more` : "";
  return {
    pass: false,
    score: links === 0 ? 0 : Math.min(seen.size, max) / Math.max(links, min),
    reason: problems.slice(0, PROBLEMS).join("; ") + more,
  };
}

// The address in the form in which two are compared, or undefined where it is none.
function normal(line) {
  const parts = ADDRESS.exec(line);
  if (parts === null) {
    return undefined;
  }
  const [, scheme, host, port, rest = ""] = parts;
  const named = host.startsWith("[") || (host.includes(".") && host.split(".").every((label) => LABEL.test(label)));
  if (!named || (port !== undefined && (port === "0" || Number(port) > 65535))) {
    return undefined;
  }
  const path = rest.replace(/#.*$/, "").replace(/\/$/, "");
  return `${scheme}://${host}${port === undefined ? "" : `:${port}`}`.toLowerCase() + path;
}
