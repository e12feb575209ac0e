// Runs a check of JavaScript text: the world `script-runtime` of graders/wit.
//
// A check is a plain script (no `import`, no `export`) with one function:
//
//     function check(submission) {
//       if (submission.text.split("\n").length > 50) {
//         return { pass: false, score: 0.5, reason: "more than 50 lines" };
//       }
//       return true;
//     }
//
// It answers `true` or `false`, or an object with `pass` (boolean), and if it likes `score` (0 to 1; 1 or 0
// when left out), `reason` (string, which the agent may read) and `notes` (array of strings, for the operator).
// What `console.log` is given becomes notes too. `throw new Fail("reason")` fails the submission. Any other
// exception is an error of the check: a person looks at it, and the agent loses nothing.
//
// There is no clock (`Date.now` throws), no network, no timer; `Math.random` gives the same numbers each time.

import { describe } from "./shown.js";
import { Fail, submissionOf } from "./submission.js";
import { Malformed, verdictOf } from "./answer.js";
import { console, printedNotes } from "./printed.js";
import { takeAway } from "./available.js";

// The lines that `new Function` puts before the text of a script.
const LINES_BEFORE = (() => {
  try {
    new Function("throw new Error()")();
  } catch (error) {
    return error.lineNumber - 1;
  }
})();

globalThis.Fail = Fail;
globalThis.console = console;
takeAway(globalThis);

const { defineProperty } = Object;

export function run(script, submission) {
  const name = script.name;
  try {
    const verdict = verdictOf(judge(script, submission), name);
    verdict.notes = [...printedNotes(), ...verdict.notes];
    return verdict;
  } catch (error) {
    if (error instanceof Fail) {
      return { pass: false, score: 0, reason: error.reason.toWellFormed(), notes: printedNotes() };
    }
    throw problem(
      error instanceof Malformed
        ? { tag: "malformed", val: `${name}: ${error.message}` }
        : { tag: "failed", val: describe(error, name, LINES_BEFORE) },
    );
  }
}

// What the script's `check` answers.
function judge(script, submission) {
  // The line break ends a comment in the script's last line.
  const text = `"use strict";${script.source}\n;return typeof check === "undefined" ? undefined : check;`;
  const check = new Function(text)();
  if (typeof check !== "function") {
    throw new Malformed("there is no function `check`: write `function check(submission) { … }`");
  }
  return check(submissionOf(submission));
}

// The form in which an exported function throws the error of its `result`.
function problem(payload) {
  const error = new Error(payload.val);
  defineProperty(error, "payload", { value: payload, enumerable: true });
  return error;
}
