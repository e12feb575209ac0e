// What a check may answer.

import { shown } from "./shown.js";

// Longest answer, reason and notes together, in UTF-8 bytes. The sandbox takes 1 MiB, what was printed included.
const ANSWER_BYTES = 768 * 1024;

const KEYS = ["pass", "score", "reason", "notes"];

// The answer is no verdict.
export class Malformed extends Error {}

const { isArray } = Array;
const { isFinite } = Number;
const { getOwnPropertyNames, hasOwn } = Object;

// The parts of a verdict. Only own properties count: what a script has put on a prototype is no answer.
export function verdictOf(answer, name) {
  if (typeof answer === "boolean") {
    answer = { pass: answer };
  }
  if (answer instanceof Promise) {
    throw new Malformed("`check` answered a Promise: it must not be async, there is nothing to wait for");
  }
  if (typeof answer !== "object" || answer === null || isArray(answer)) {
    throw new Malformed(
      `\`check\` answered ${shown(answer)}, expected true, false or an object with \`pass\``,
    );
  }
  for (const key of getOwnPropertyNames(answer)) {
    if (!KEYS.includes(key)) {
      throw new Malformed(`the answer has a key ${shown(key)}, expected some of ${KEYS.join(", ")}`);
    }
  }
  const own = (key, otherwise) => (hasOwn(answer, key) && answer[key] !== undefined ? answer[key] : otherwise);
  const pass = own("pass");
  if (typeof pass !== "boolean") {
    throw new Malformed(`\`pass\` must be true or false, \`check\` answered ${shown(pass)}`);
  }
  const score = own("score", pass ? 1 : 0);
  if (typeof score !== "number" || !isFinite(score) || score < 0 || score > 1) {
    throw new Malformed(`\`score\` must be a number from 0 to 1, \`check\` answered ${shown(score)}`);
  }
  let reason = own("reason", `${name} says ${pass ? "yes" : "no"}`);
  if (typeof reason !== "string") {
    throw new Malformed(`\`reason\` must be a string, \`check\` answered ${shown(reason)}`);
  }
  let notes = own("notes", []);
  if (!isArray(notes) || !notes.every((note) => typeof note === "string")) {
    throw new Malformed(`\`notes\` must be an array of strings, \`check\` answered ${shown(notes)}`);
  }
  const size = notes.reduce((size, note) => size + bytes(note), bytes(reason));
  if (size > ANSWER_BYTES) {
    throw new Malformed(`reason and notes take ${size} bytes, at most ${ANSWER_BYTES} are allowed`);
  }
  reason = reason.toWellFormed();
  notes = notes.map((note) => note.toWellFormed());
  return { pass, score, reason, notes };
}

// At most the UTF-8 bytes that the text takes: three for each UTF-16 unit, without counting where that is enough.
function bytes(text) {
  if (text.length * 3 <= 8192 || text.length > ANSWER_BYTES) {
    return text.length > ANSWER_BYTES ? text.length : text.length * 3;
  }
  let size = 0;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    size += unit < 0x80 ? 1 : unit < 0x800 ? 2 : unit >= 0xd800 && unit <= 0xdfff ? 2 : 3;
  }
  return size;
}
