// link-list: every line of the output text that is not blank is a link, and none stands twice.
//
// params: min, max (how many), https (true: https only; default false), hosts (list: a link's host must be one of
// them or lie below one). Whether a link leads anywhere is not checked: a check reaches no network.
// Score: the share of lines that are good.

const LINK = /^(https?):\/\/([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?(?:[\/?#]\S*)?$/i;

function trouble(line, seen, params) {
  const parts = LINK.exec(line);
  if (!parts) return "is no http(s) link";
  if (params.https && parts[1].toLowerCase() !== "https") return "is not https";
  const host = parts[2].toLowerCase();
  if (params.hosts && !params.hosts.some((one) => host === one || host.endsWith(`.${one}`))) {
    return `is on ${host}, which is not asked for`;
  }
  if (seen.has(line)) return "stands twice";
  seen.add(line);
  return null;
}

function check(submission) {
  const { params } = submission;
  const lines = submission.text.split("\n").map((line) => line.trim());
  const seen = new Set();
  const found = [];
  let count = 0;
  lines.forEach((line, index) => {
    if (line === "") return;
    count += 1;
    const what = trouble(line, seen, params);
    if (what) found.push(`line ${index + 1} ${what}`);
  });
  if (found.length > 0) {
    const score = (count - found.length) / count;
    return { pass: false, score, reason: found.slice(0, 3).join("; "), notes: found.slice(0, 50) };
  }
  if (count < (params.min ?? 1)) return { pass: false, reason: `${count} links, at least ${params.min ?? 1} are asked for` };
  if (count > (params.max ?? count)) return { pass: false, reason: `${count} links, at most ${params.max} are asked for` };
  return { pass: true, reason: `${count} links` };
}
