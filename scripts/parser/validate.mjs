// Has the official parser judge documents: {name: text} comes in as JSON, {name: [[severity, code,
// path, message], ...]} goes out. One process for many, since starting takes longer than judging.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const { Parser } = createRequire(resolve(process.argv[2], "package.json"))("@asyncapi/parser");
const parser = new Parser();
const judged = {};
for (const [name, text] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
  const found = await parser.validate(text);
  judged[name] = found.map((each) => [each.severity, each.code, each.path.join("/"), each.message]);
}
process.stdout.write(JSON.stringify(judged));
