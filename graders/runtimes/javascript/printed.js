// What a check prints becomes notes: the first lines of it.

const LINES = 50;
const CHARACTERS = 16 * 1024;

const lines = [];
let left = CHARACTERS;
let cut = false;

function print(...values) {
  if (left === 0 || lines.length === LINES) {
    cut = true;
    return;
  }
  for (const line of values.map(text).join(" ").split("\n")) {
    if (lines.length === LINES || (left === 0 && line !== "")) {
      cut = true;
      return;
    }
    cut ||= line.length > left;
    lines.push(line.slice(0, left).toWellFormed());
    left -= lines.at(-1).length;
  }
}

function text(value) {
  if (typeof value === "string") {
    return value;
  }
  try {
    return typeof value === "object" ? (JSON.stringify(value) ?? String(value)) : String(value);
  } catch {
    return "an object that cannot be printed";
  }
}

// Stands for the console.
export const console = { log: print, info: print, warn: print, error: print, debug: print };

// The lines as notes, the last of which says whether there were more.
export function printedNotes() {
  const notes = lines.filter((line) => line.trim() !== "");
  return cut ? [...notes, "more was printed and is cut"] : notes;
}
