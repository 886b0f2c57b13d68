// Judge a folder of contracts without any code of ours: AsyncAPI's own parser, and ajv over schemas and examples.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Parser, fromFile } from "@asyncapi/parser";
import { Ajv2020 } from "ajv/dist/2020.js";

const folder = process.argv[2];
const faults = [];

const { document, diagnostics } = await fromFile(new Parser(), join(folder, "asyncapi.yaml")).parse();
for (const found of diagnostics.filter(({ severity }) => severity === 0)) {
  faults.push(`asyncapi.yaml: ${found.path.join("/")}: ${found.message}`);
}

const read = (...path) => JSON.parse(readFileSync(join(folder, ...path), "utf8"));
const ajv = new Ajv2020({ strict: false, validateFormats: false });
let examples = 0;
for (const file of readdirSync(join(folder, "schemas"))) {
  const takes = ajv.compile(read("schemas", file));
  for (const size of ["full", "minimal"]) {
    examples += 1;
    if (!takes(read("examples", file.replace(/json$/, `${size}.json`)))) {
      faults.push(`${file}, ${size}: ${ajv.errorsText(takes.errors)}`);
    }
  }
}

const messages = document?.allMessages().all().length ?? 0;
const operations = document?.allOperations().all().length ?? 0;
console.log(JSON.stringify({ faults, messages, operations, examples }));
