// {{name}}: the text has at least `min_words` words (params: `min_words`, 5 where the plan does not say).
//
// `submission` has `text`, `files` (each with `name`, `size`, `bytes`, `text()`), `title`, `prompt` and `params`, the plan's
// own table. Answer true or false, or an object with `pass`, and where they help `score` (0 to 1), `reason` (the
// agent reads it) and `notes` (a list for the operator). What console.log prints becomes notes as well.

function check(submission) {
  const wanted = submission.params.min_words ?? 5;
  const words = submission.text.split(/\s+/).filter((word) => word !== "").length;
  if (words < wanted) {
    return { pass: false, score: words / wanted, reason: `${words} words, expected at least ${wanted}` };
  }
  return { pass: true, reason: `${words} words` };
}
