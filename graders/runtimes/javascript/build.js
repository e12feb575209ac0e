// Builds the JavaScript runtime: `node build.js WIT OUTPUT`.

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [wit, output] = process.argv.slice(2);
const { component } = await componentize({
  sourcePath: new URL("runtime.js", import.meta.url).pathname,
  witPath: wit,
  worldName: "script-runtime",
  // Everything that would be an import.
  disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
});
await writeFile(output, component);
